"""What distillation is worth: the same student, steps and clips with and without the teacher, over several seeds."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from exporters.artifact import write_text_atomically
from slrbench.data import open_corpus
from slrbench.errors import BadInputError
from slrbench.evaluation import evaluate, scoring_of
from slrbench.measure.environment import capture_environment
from slrbench.models.registry import build_model
from slrbench.records import Report
from slrbench.reporting.store import write_report
from slrbench.training.launch import launched_processes
from slrbench.training.loop import Trainer
from slrbench.training.network import infer_with
from slrbench.workflows.provenance import initial_weights, training_identity
from slrbench.workflows.scoring import Progress
from slrbench.workflows.training import Say, TrainingJob, load_teacher, set_threads

# Two-sided 95 % quantiles of Student's t for 1 .. 10 degrees of freedom (any table of the distribution).
_T_95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)


@dataclass(frozen=True, kw_only=True)
class AblationRow:
    """One seed: WER (shares) on dev and test of both students."""

    seed: int
    dev_without: float
    dev_with: float
    test_without: float
    test_with: float

    def as_dict(self) -> dict[str, object]:
        """The row as the report shows it."""
        return {
            "seed": self.seed,
            "dev WER without (%)": round(100 * self.dev_without, 2),
            "dev WER with (%)": round(100 * self.dev_with, 2),
            "test WER without (%)": round(100 * self.test_without, 2),
            "test WER with (%)": round(100 * self.test_with, 2),
            "test gain (points)": round(100 * (self.test_without - self.test_with), 2),
        }


def require_one_process() -> None:
    """Raises BadInputError where several processes were launched: each would train every network."""
    if launched_processes() > 1:
        raise BadInputError(
            "the distillation ablation runs in one process, and several were launched", hint="run it without torchrun"
        )


def ablate_distillation(
    job: TrainingJob, *, teacher: Path, seeds: Sequence[int], progress: Progress, say: Say
) -> list[AblationRow]:
    """Train the student twice for every seed; a seed determines its initial weights and its clips, in both runs.

    Rows are written to the states folder as they are known; with ``job.resume`` they are not trained again.

    Raises:
        BadInputError: the teacher's checkpoint cannot be used, or several processes were launched.
        NegativeVerdictError: the teacher is not verified, or not good enough.
        RunFailedError: a training failed.
        OSError: the states folder cannot be written.
    """
    require_one_process()
    set_threads(job.config)
    corpus = open_corpus(job.config.data, cache=job.cache)
    teacher_model, card = load_teacher(teacher, job.config, corpus)
    spec = job.config.student.spec("student", corpus.vocabulary.num_classes)
    start = initial_weights(job.student_init, imagenet=job.imagenet)
    identity = training_identity("student", job.config, corpus, start=start, teacher=card)
    path = job.states_folder / f"ablation-{job.config.preset}.json"
    known = {"identity": identity, "spec": spec.model_dump()}
    rows = _read_rows(path, known) if job.resume else []
    for seed in seeds:
        if any(row.seed == seed for row in rows):
            continue
        wer: dict[tuple[str, bool], float] = {}
        for distil in (False, True):
            torch.manual_seed(seed)
            trainer = Trainer(
                build_model(spec, init=job.student_init, imagenet=job.imagenet),
                corpus,
                job.config.train_student,
                seed=seed,
                teacher=teacher_model if distil else None,
                distillation=job.config.distillation,
                mixed_precision=job.config.mixed_precision,
                device=job.config.device,
                workers=job.config.workers,
                teacher_cache=job.teacher_outputs,
            )
            name = f"ablation: seed {seed}, {'with' if distil else 'without'} distillation"
            trainer.run(lambda step, name=name: progress(name, step.step, step.steps))  # type: ignore[misc]
            infer = infer_with(trainer.model, trainer.device)
            for split in ("dev", "test"):
                found = evaluate(infer, corpus.split(split), corpus.vocabulary, batch=8, scoring=scoring_of(corpus))
                wer[split, distil] = found.counts.wer
            say(f"{name}: WER dev {wer['dev', distil]:.1%}, test {wer['test', distil]:.1%}")
        rows.append(
            AblationRow(
                seed=seed,
                dev_without=wer["dev", False],
                dev_with=wer["dev", True],
                test_without=wer["test", False],
                test_with=wer["test", True],
            )
        )
        write_text_atomically(path, json.dumps({**known, "rows": [asdict(row) for row in rows]}, indent=1) + "\n")
    say(finding(rows))
    return rows


def _read_rows(path: Path, known: Mapping[str, object]) -> list[AblationRow]:
    """Rows of an interrupted ablation of the same configuration; none where there are none."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        same = {key: document[key] for key in known} == json.loads(json.dumps(known))
        return [AblationRow(**row) for row in document["rows"]] if same else []
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return []  # not there, or not a file of ours: the rows are trained again


def finding(rows: Sequence[AblationRow]) -> str:
    """What the rows show, in a sentence: the mean gain on test with its 95 % interval (paired t over seeds)."""
    gains = [100 * (row.test_without - row.test_with) for row in rows]
    mean = sum(gains) / len(gains)
    if len(gains) < 2:
        return f"one seed only: the test WER changes by {-mean:+.2f} points with distillation, which proves nothing"
    deviation = math.sqrt(sum((gain - mean) ** 2 for gain in gains) / (len(gains) - 1))
    half = _T_95[min(len(gains) - 1, len(_T_95)) - 1] * deviation / math.sqrt(len(gains))
    verdict = (
        "distillation lowers the WER"
        if mean - half > 0
        else "distillation raises the WER"
        if mean + half < 0
        else "no effect is shown: the interval holds zero"
    )
    return (
        f"{verdict}: mean gain {mean:+.2f} points of test WER over {len(gains)} seeds, "
        f"95 % interval {mean - half:+.2f} to {mean + half:+.2f}"
    )


def ablation_tables(rows: Sequence[AblationRow]) -> dict[str, list[dict[str, object]]]:
    """The ablation as the report's tables: one row per seed, and the finding."""
    return {
        "Distillation: the student with and without it, same steps and clips": [row.as_dict() for row in rows],
        "Distillation: finding": [{"finding": finding(rows)}],
    }


def write_ablation_report(
    rows: Sequence[AblationRow], job: TrainingJob, *, teacher: Path, folder: Path, command: str
) -> Path:
    """A report that holds the ablation alone; returns the path of report.json.

    Raises:
        OSError: the folder cannot be written.
    """
    environment = capture_environment()
    steps, batch = job.config.train_student.steps, job.config.train_student.batch_size
    distillation = job.config.distillation
    report = Report(
        title=f"What distillation is worth: {job.config.data}",
        created_at=environment.created_at,
        command=command,
        environment=environment,
        tables=ablation_tables(rows),
        notes=(
            f"student: {steps} steps of {batch} clips each time; teacher {teacher}; alpha {distillation.alpha}, "
            f"temperature {distillation.temperature}, steps: {distillation.frames}",
        ),
    )
    return write_report(folder, report)
