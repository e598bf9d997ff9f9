"""Reading clips at one size, and the cache: what is in it, what is made again, what a fault costs."""

import logging
import multiprocessing
import os
import re
import resource
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from slrbench.data.cache import fill
from slrbench.data.sources import FrameFiles, FrameReader, VideoFile, check
from slrbench.errors import BadInputError, RunFailedError
from tests.data.videos import break_in_five_ways, grey_frames, numbers_of, write_video

SIZE = (24, 32)


def videos(folder: Path, count: int, frames: int = 6) -> list[VideoFile]:
    """Copies of one video, each with a tail of its own that no reader looks at."""
    data = write_video(folder / "first.mkv", grey_frames(frames)).read_bytes()
    paths = [folder / f"clip{index:03d}.mkv" for index in range(count)]
    for path in paths:
        path.write_bytes(data)
    return [VideoFile(path) for path in paths]


def pictures(folder: Path, count: int, suffix: str = ".png") -> FrameFiles:
    folder.mkdir()
    paths = []
    for index, frame in enumerate(grey_frames(count)):
        paths.append(folder / f"frame{index:03d}{suffix}")
        Image.fromarray(frame).save(paths[-1])
    return FrameFiles(tuple(paths))


def shards(cache: Path) -> list[Path]:
    return sorted(path for path in cache.rglob("*.clip") if not path.name.startswith("."))


class TestReader:
    def test_a_video_is_squashed_to_the_size(self, tmp_path: Path) -> None:
        source = videos(tmp_path, 1, frames=9)[0]
        reader = FrameReader(SIZE)
        frames = reader.read(source)
        assert frames.shape == (9, *SIZE, 3)
        assert numbers_of(frames) == list(range(9))
        assert reader.count(source) == 9

    @pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp"])
    def test_pictures_are_squashed_to_the_size(self, tmp_path: Path, suffix: str) -> None:
        source = pictures(tmp_path / "clip", 7, suffix)
        reader = FrameReader(SIZE)
        frames = reader.read(source)
        assert frames.shape == (7, *SIZE, 3)
        assert numbers_of(frames) == list(range(7))
        assert reader.count(source) == 7

    @pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "1"])
    def test_pictures_of_every_kind_are_rgb(self, tmp_path: Path, mode: str) -> None:
        path = tmp_path / "frame.png"
        Image.new("RGB", (32, 24), (255, 255, 255)).convert(mode).save(path)
        assert (FrameReader(SIZE).read(FrameFiles((path,))) == 255).all()

    def test_making_frames_smaller_takes_every_pixel_into_account(self, tmp_path: Path) -> None:
        stripes = np.zeros((96, 128, 3), dtype=np.uint8)
        stripes[:, ::2] = 255
        path = tmp_path / "frame.png"
        Image.fromarray(stripes).save(path)
        found = FrameReader((24, 30)).read(FrameFiles((path,)))
        assert np.abs(found.astype(int) - 127).max() < 40  # grey; every fourth pixel alone would be black or white

    @pytest.mark.parametrize("content", [b"", b"no picture", None])
    def test_a_broken_picture_is_named(self, tmp_path: Path, content: bytes | None) -> None:
        source = pictures(tmp_path / "clip", 3)
        broken = source.paths[1]
        data = broken.read_bytes()
        broken.write_bytes(data[: len(data) // 2] if content is None else content)
        with pytest.raises(BadInputError, match="it is not a picture, or a damaged one") as caught:
            FrameReader(SIZE).read(source)
        assert str(broken) in caught.value.message

    def test_a_missing_picture_is_named(self, tmp_path: Path) -> None:
        source = pictures(tmp_path / "clip", 3)
        source.paths[2].unlink()
        for cache in (None, tmp_path / "cache"):
            with pytest.raises(BadInputError, match=r"frame002\.png: (there is )?no such file"):
                FrameReader(SIZE, cache).read(source)

    def test_a_clip_without_frames_is_an_error(self) -> None:
        with pytest.raises(BadInputError, match="there are no frames"):
            FrameReader(SIZE).read(FrameFiles(()))


class TestCache:
    def test_a_cached_clip_equals_a_decoded_one_and_is_not_decoded_again(self, tmp_path: Path) -> None:
        video, frames = videos(tmp_path, 1)[0], pictures(tmp_path / "clip", 5)
        cache = tmp_path / "cache"
        for source in (video, frames):
            decoded = FrameReader(SIZE).read(source)
            assert np.array_equal(FrameReader(SIZE, cache).read(source), decoded)
            again = FrameReader(SIZE, cache)
            assert again.is_cached(source)
            found = again.read(source)
            assert np.array_equal(found, decoded)
            assert not found.flags.writeable  # a memory map, which several runs share
        assert len(shards(cache)) == 2

    def test_a_changed_file_another_size_and_a_replaced_frame_are_made_anew(self, tmp_path: Path) -> None:
        video, cache = videos(tmp_path, 1)[0], tmp_path / "cache"
        FrameReader(SIZE, cache).read(video)
        assert not FrameReader((32, 32), cache).is_cached(video)
        write_video(video.path, grey_frames(6, first=10))
        assert numbers_of(FrameReader(SIZE, cache).read(video)) == list(range(10, 16))
        clip = pictures(tmp_path / "clip", 4)
        FrameReader(SIZE, cache).read(clip)
        Image.fromarray(grey_frames(1, first=20)[0]).save(clip.paths[2])
        assert numbers_of(FrameReader(SIZE, cache).read(clip)) == [0, 1, 20, 3]

    @pytest.mark.parametrize("harm", ["a bit", "the end", "the header", "everything"])
    def test_a_damaged_shard_is_made_again_and_said_so(
        self, tmp_path: Path, harm: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        video, cache = videos(tmp_path, 1)[0], tmp_path / "cache"
        expected = FrameReader(SIZE, cache).read(video).copy()
        shard = shards(cache)[0]
        data = bytearray(shard.read_bytes())
        if harm == "a bit":
            data[-1000] ^= 1
        elif harm == "the header":
            data[20] ^= 0xFF
        shard.write_bytes({"the end": data[:-1], "everything": b""}.get(harm, data))
        reader = FrameReader(SIZE, cache)
        with caplog.at_level(logging.WARNING):
            assert np.array_equal(reader.read(video), expected)
        assert f"the cached clip of {video.path} was damaged" in caplog.text
        assert np.array_equal(FrameReader(SIZE, cache).read(video), expected)

    def test_a_file_in_place_of_the_folder_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "cache").touch()
        with pytest.raises(BadInputError, match="is a file"):
            FrameReader(SIZE, tmp_path / "cache")

    def test_a_full_disk_is_a_clear_error_and_leaves_no_half_shard(self, tmp_path: Path) -> None:
        sources, cache = videos(tmp_path, 2, frames=20), tmp_path / "cache"
        small = pictures(tmp_path / "clip", 2)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))  # no file may grow beyond: as good as a full disk
        try:
            with pytest.raises(RunFailedError, match=r"has no room for .*clip000\.mkv: 0\.0 MiB are needed") as caught:
                fill(FrameReader(SIZE, cache), [small, *sources])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            signal.signal(signal.SIGXFSZ, before)
        assert caught.value.hint
        assert "what is in the cache stays" in caught.value.hint
        assert len(shards(cache)) == 1
        assert [path for path in cache.rglob("*.clip") if path.name.startswith(".")] == []


class TestFilling:
    @pytest.mark.parametrize("workers", [0, 2])
    def test_of_200_videos_the_5_broken_ones_are_named_and_nothing_else_is_lost(
        self, tmp_path: Path, workers: int
    ) -> None:
        good = videos(tmp_path, 195, frames=4)
        broken = break_in_five_ways(tmp_path)
        sources = list(good)
        for place, path in zip((0, 50, 99, 150, 199), broken.values(), strict=True):
            sources.insert(place, VideoFile(path))
        told: list[tuple[int, int]] = []
        reader = FrameReader(SIZE, tmp_path / "cache")
        report = fill(reader, sources, workers=workers, progress=lambda done, total: told.append((done, total)))
        assert [one.index for one in report.unreadable] == [0, 50, 99, 150, 199]
        assert [one.name for one in report.unreadable] == [str(path) for path in broken.values()]
        for one, fault in zip(report.unreadable, broken, strict=True):
            assert fault in one.fault
        assert (report.written, report.kept) == (195, 0)
        assert told[-1] == (200, 200)
        assert all(reader.is_cached(source) for source in good)
        again = fill(reader, sources, workers=workers)
        assert (again.written, again.kept, len(again.unreadable)) == (0, 195, 5)

    def test_a_look_at_a_source_finds_what_is_missing_empty_cut_off_or_no_video(self, tmp_path: Path) -> None:
        for fault, path in break_in_five_ways(tmp_path).items():
            with pytest.raises(BadInputError, match=re.escape(fault)):
                check(VideoFile(path))
        missing = pictures(tmp_path / "clip", 3)
        missing.paths[1].unlink()
        with pytest.raises(BadInputError, match=re.escape(str(missing.paths[1]))):
            check(missing)
        with pytest.raises(BadInputError):
            check(FrameFiles(()))
        for sound in (*videos(tmp_path, 3), pictures(tmp_path / "sound", 3)):
            check(sound)

    def test_a_reader_without_a_cache_has_nothing_to_fill(self) -> None:
        with pytest.raises(ValueError, match="no cache"):
            fill(FrameReader(SIZE), [])

    def test_killing_a_fill_loses_only_the_clip_that_is_written(self, tmp_path: Path) -> None:
        sources, cache = videos(tmp_path, 12), tmp_path / "cache"
        program = textwrap.dedent(f"""
            import itertools, os, signal
            from pathlib import Path
            from slrbench.data.cache import fill
            from slrbench.data.sources import FrameReader, VideoFile
            calls, real = itertools.count(), os.fsync
            def fsync(file):  # the sixth shard is written, and has not its name yet
                if next(calls) == 5:
                    os.kill(os.getpid(), signal.SIGKILL)
                real(file)
            os.fsync = fsync
            paths = sorted(Path({str(tmp_path)!r}).glob("clip*.mkv"))
            fill(FrameReader({SIZE}, Path({str(cache)!r})), [VideoFile(path) for path in paths])
        """)
        killed = subprocess.run([sys.executable, "-c", program], check=False)
        assert killed.returncode == -signal.SIGKILL
        assert len(shards(cache)) == 5
        reader = FrameReader(SIZE, cache)
        report = fill(reader, sources)
        assert (report.kept, report.written, report.unreadable) == (5, 7, [])
        for source in sources:
            assert np.array_equal(reader.read(source), FrameReader(SIZE).read(source))

    def test_what_a_killed_process_left_is_swept_and_what_is_being_written_is_not(self, tmp_path: Path) -> None:
        cache = tmp_path / "cache"
        (cache / "ab").mkdir(parents=True)
        old, new = cache / "ab" / ".cd-1.clip", cache / "ab" / ".cd-2.clip"
        for path in (old, new):
            path.write_bytes(b"half a shard")
        os.utime(old, (1_000_000_000, 1_000_000_000))
        fill(FrameReader(SIZE, cache), [])
        assert (old.exists(), new.exists()) == (False, True)

    def test_two_runs_may_fill_one_cache_at_the_same_time(self, tmp_path: Path) -> None:
        sources, cache = videos(tmp_path, 30), tmp_path / "cache"
        context = multiprocessing.get_context("spawn")
        runs = [context.Process(target=fill, args=(FrameReader(SIZE, cache), sources)) for _ in range(2)]
        for run in runs:
            run.start()
        for run in runs:
            run.join()
        assert [run.exitcode for run in runs] == [0, 0]
        assert len(shards(cache)) == 30
        assert fill(FrameReader(SIZE, cache), sources).kept == 30
        assert np.array_equal(FrameReader(SIZE, cache).read(sources[7]), FrameReader(SIZE).read(sources[7]))
