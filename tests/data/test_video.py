"""Reading videos: every container, rate, rotation, and every way in which a file can be broken."""

import io
import os
import threading
from pathlib import Path

import numpy as np
import pytest

from slrbench.data.video import check_video, count_frames, iterate_frames, read_video
from slrbench.errors import BadInputError
from tests.data.videos import (
    CODECS,
    HEIGHT,
    WIDTH,
    break_in_five_ways,
    corner_frames,
    cut_off,
    grey_frames,
    numbers_of,
    write_sound,
    write_video,
)

FAST_START = {"movflags": "faststart"}


def noise(count: int) -> np.ndarray:
    """Frames that do not compress, so that cutting a file cuts frames."""
    return np.random.default_rng(0).integers(0, 256, (count, HEIGHT, WIDTH, 3), dtype=np.uint8)


class TestContainersAndRates:
    @pytest.mark.parametrize("suffix", sorted(CODECS))
    def test_every_container_gives_every_frame_in_order(self, tmp_path: Path, suffix: str) -> None:
        path = write_video(tmp_path / f"clip{suffix}", grey_frames(20))
        frames = read_video(path)
        assert frames.shape == (20, HEIGHT, WIDTH, 3)
        assert frames.dtype == np.uint8
        assert numbers_of(frames) == list(range(20))
        assert count_frames(path) == 20
        check_video(path)

    def test_colours_come_back_as_rgb(self, tmp_path: Path) -> None:
        frame = read_video(write_video(tmp_path / "clip.mp4", corner_frames(5)))[0]
        for row, column, channel in ((12, 16, 0), (12, 48, 1), (36, 16, 2)):
            assert frame[row, column, channel] > 200
            assert np.delete(frame[row, column], channel).max() < 60

    @pytest.mark.parametrize(
        ("rate", "written", "expected"),
        [
            (50, 20, list(range(0, 20, 2))),
            (30, 24, [round(k * 30 / 25 - 1e-9) for k in range(20)]),
            (10, 8, [0, 0, 1, 1, 2, 2, 2, 3, 3, 4, 4, 4, 5, 5, 6, 6, 6, 7, 7, 7]),
        ],
    )
    def test_a_constant_rate_is_brought_to_25_by_the_nearest_time(
        self, tmp_path: Path, rate: int, written: int, expected: list[int]
    ) -> None:
        path = write_video(tmp_path / "clip.mp4", grey_frames(written), rate=rate)
        assert numbers_of(read_video(path)) == expected
        assert count_frames(path) == len(expected)

    @pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".mov"])
    def test_a_variable_rate_is_brought_to_25_by_the_nearest_time(self, tmp_path: Path, suffix: str) -> None:
        times = [0, 40, 80, 200, 215, 230, 360, 400]
        path = write_video(tmp_path / f"clip{suffix}", grey_frames(8), times_ms=times)
        found = list(iterate_frames(path))
        seconds = np.array([at for _, at in found])
        assert np.allclose(seconds, np.arange(len(found)) / 25)
        numbers = numbers_of(np.stack([frame for frame, _ in found]))
        distance = np.abs(np.array(times)[:, None] / 1000 - seconds)
        within = seconds <= 0.4
        assert [number for number, ok in zip(numbers, within, strict=True) if ok] == list(
            distance.argmin(axis=0)[within]
        )
        assert 11 <= len(found) <= 16  # what the last frame lasts is the container's to say

    def test_without_a_rate_every_frame_comes_once_at_its_own_time(self, tmp_path: Path) -> None:
        times = [0, 40, 90, 200, 300]
        path = write_video(tmp_path / "clip.mkv", grey_frames(5), times_ms=times)
        found = list(iterate_frames(path, frames_per_second=None))
        assert [round(1000 * at) for _, at in found] == times
        assert numbers_of(np.stack([frame for frame, _ in found])) == [0, 1, 2, 3, 4]

    def test_timestamps_that_jump_by_an_hour_are_broken(self, tmp_path: Path) -> None:
        path = write_video(tmp_path / "clip.mkv", grey_frames(4), times_ms=[0, 40, 80, 3_600_000])
        with pytest.raises(BadInputError, match=r"clip\.mkv: frame 3 comes 3600 s after .* timestamps are broken"):
            read_video(path)


class TestRotation:
    @pytest.mark.parametrize("suffix", [".mp4", ".mov"])
    @pytest.mark.parametrize("degrees", [0, 90, 180, -90])
    @pytest.mark.parametrize("mirrored", [False, True])
    def test_the_display_matrix_is_applied(self, tmp_path: Path, suffix: str, degrees: int, mirrored: bool) -> None:
        frames = corner_frames(3)
        path = write_video(tmp_path / f"clip{suffix}", frames, display={"degrees": degrees, "hflip": mirrored})
        expected = np.rot90(frames[0], degrees // 90)  # counter-clockwise, both
        if mirrored:
            expected = expected[:, ::-1]
        found = read_video(path)[0]
        assert found.shape == expected.shape
        assert np.abs(found.astype(int) - expected).mean() < 20

    @pytest.mark.parametrize("tag", ["90", "180", "270", "-90"])
    def test_the_rotate_tag_of_older_files_is_applied(self, tmp_path: Path, tag: str) -> None:
        frames = corner_frames(3)
        found = read_video(write_video(tmp_path / "clip.mkv", frames, tags={"rotate": tag}))[0]
        expected = np.rot90(frames[0], -int(tag) // 90)  # clockwise
        assert found.shape == expected.shape
        assert np.abs(found.astype(int) - expected).mean() < 20


class TestBrokenFiles:
    def test_each_of_five_ways_is_named_with_its_file(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        for fault, path in break_in_five_ways(tmp_path).items():
            for look in (read_video, check_video):
                with pytest.raises(BadInputError, match=fault) as caught:
                    look(path)
                assert caught.value.message.startswith(str(path))
                assert caught.value.hint
                assert "\n" not in caught.value.message
        assert capfd.readouterr() == ("", "")  # libav says nothing of its own

    @pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm", ".avi"])
    @pytest.mark.parametrize("share", [0.3, 0.6, 0.85])
    def test_a_file_that_is_cut_off_is_an_error_and_no_shorter_clip(
        self, tmp_path: Path, suffix: str, share: float
    ) -> None:
        options = FAST_START if suffix in (".mp4", ".mov") else None
        path = cut_off(write_video(tmp_path / f"clip{suffix}", noise(25), options=options), share)
        for look in (read_video, check_video):
            with pytest.raises(
                BadInputError, match=f"clip{suffix}: (it is cut off|it cannot be|frame .* is (cut off or )?damaged)"
            ):
                look(path)

    def test_an_mp4_without_its_index_is_named(self, tmp_path: Path) -> None:
        path = cut_off(write_video(tmp_path / "clip.mp4", noise(25)), 0.8)
        with pytest.raises(BadInputError, match="its beginning or its index is missing"):
            read_video(path)

    def test_a_whole_file_whose_sound_goes_on_for_longer_is_whole(self, tmp_path: Path) -> None:
        path = write_video(tmp_path / "clip.mp4", grey_frames(20))
        assert len(read_video(path)) == 20

    def test_a_folder_is_no_video(self, tmp_path: Path) -> None:
        with pytest.raises(BadInputError, match="it is a folder"):
            read_video(tmp_path)

    def test_a_playlist_does_not_reach_other_files(self, tmp_path: Path) -> None:
        write_video(tmp_path / "other.mp4", grey_frames(5))
        playlist = tmp_path / "clip.mp4"
        playlist.write_text(
            "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/other.mp4\n", encoding="utf-8"
        )
        with pytest.raises(BadInputError, match=r"clip\.mp4"):
            read_video(playlist)


class TestPipesAndFileObjects:
    def test_a_file_object_is_read(self, tmp_path: Path) -> None:
        data = write_video(tmp_path / "clip.mp4", grey_frames(12)).read_bytes()
        frames = [frame for frame, _ in iterate_frames(io.BytesIO(data))]
        assert numbers_of(np.stack(frames)) == list(range(12))

    def test_a_pipe_is_read_while_it_is_written(self, tmp_path: Path) -> None:
        data = write_video(tmp_path / "clip.mkv", grey_frames(12)).read_bytes()
        reading, writing = os.pipe()

        def feed() -> None:
            with os.fdopen(writing, "wb") as file:
                file.write(data)

        feeder = threading.Thread(target=feed)
        feeder.start()
        with os.fdopen(reading, "rb") as pipe:
            frames = [frame for frame, _ in iterate_frames(pipe)]
        feeder.join()
        assert numbers_of(np.stack(frames)) == list(range(12))

    def test_a_pipe_without_a_video_is_named(self) -> None:
        with pytest.raises(BadInputError, match="it is not a video"):
            next(iterate_frames(io.BytesIO(b"nothing to see here" * 100)))

    def test_sound_alone_is_no_video(self, tmp_path: Path) -> None:
        with pytest.raises(BadInputError, match="only audio"):
            count_frames(write_sound(tmp_path / "sound.mp4"))
