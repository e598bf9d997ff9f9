"""Two processes that share the clips of a step give the gradient that one gives with all of them."""

import subprocess
import sys

_PROCESS = """
import sys
from datetime import timedelta
import torch
from slrbench.training.config import DistillationConfig
from slrbench.training.distillation import distillation_loss, guide_loss, hint_loss, sequence_loss
from slrbench.training.teacher_outputs import nbest_of

rank, meeting = int(sys.argv[1]), sys.argv[2]
torch.set_num_threads(1)
torch.manual_seed(0)
config = DistillationConfig(frames="symmetric", sequence_nbest=3)
logits = 3 * torch.randn(6, 4, 5)
teacher = torch.log_softmax(3 * torch.randn(6, 4, 5), dim=-1)
teacher[:, 0] = torch.log_softmax(torch.tensor([9.0, 0, 0, 0, 0]), dim=-1)  # reads nothing
lengths = torch.tensor([6, 2, 5, 4])  # the processes have 8 and 9 steps, and unequally many spikes


def gradients(clips):
    found = []
    for term in ("frames", "sequence", "cosine", "mse", "guide"):
        mine = logits[:, clips].clone().requires_grad_()
        student, taught, steps = torch.log_softmax(mine, dim=-1), teacher[:, clips], lengths[clips]
        if term == "frames":
            loss = distillation_loss(student, taught, steps, config)
        elif term == "sequence":
            loss = sequence_loss(student, steps, nbest_of(taught, steps, config))
        elif term == "guide":
            loss = guide_loss(student, taught, steps)
        else:
            loss = hint_loss(mine, taught, steps, term)
        loss.backward()
        whole = torch.zeros_like(logits)
        whole[:, clips] = mine.grad
        found.append(whole)
    return torch.stack(found)


expected = gradients(torch.arange(4))
torch.distributed.init_process_group(
    "gloo", init_method=f"file://{meeting}", rank=rank, world_size=2, timeout=timedelta(seconds=60)
)
shared = gradients(torch.tensor([0, 1]) if rank == 0 else torch.tensor([2, 3]))
torch.distributed.all_reduce(shared)
shared /= 2  # as DistributedDataParallel averages
torch.distributed.destroy_process_group()
assert expected.abs().amax(dim=(1, 2, 3)).min() > 1e-3
torch.testing.assert_close(shared, expected, atol=1e-6, rtol=1e-4)
print("same")
"""


def test_every_term_is_averaged_over_the_clips_of_all_processes(tmp_path):
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _PROCESS, str(rank), str(tmp_path / "meeting")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    answers = [process.communicate(timeout=120) for process in processes]
    assert [out.strip() for out, _ in answers] == ["same", "same"], answers
