import gc
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from dualgan.pictures import pixels
from dualgan.runtime import distributed, process

# --- images ----------------------------------------------------------------------------------------------------------


def test_every_byte_survives_the_way_through_the_program() -> None:
    images = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16, 1).expand(2, 16, 16, 3)
    assert torch.equal(pixels.to_uint8(pixels.to_float(images)), images)


def test_floats_are_channels_first_between_minus_one_and_one() -> None:
    images = torch.zeros(2, 4, 6, 3, dtype=torch.uint8)
    images[..., 0] = 255
    floats = pixels.to_float(images)
    assert floats.shape == (2, 3, 4, 6)
    assert floats.dtype == torch.float32
    assert torch.equal(floats[:, 0], torch.ones(2, 4, 6))
    assert torch.equal(floats[:, 1:], -torch.ones(2, 2, 4, 6))


def test_floats_are_laid_out_channels_last() -> None:
    floats = pixels.to_float(torch.zeros(2, 4, 6, 3, dtype=torch.uint8))
    assert floats.is_contiguous(memory_format=torch.channels_last)


def test_bytes_are_rounded_the_fields_way_and_clamped() -> None:
    floats = torch.tensor([-9.0, -1.0, 0.0, 0.25 / 127.5, 0.999, 1.0, 9.0]).reshape(1, 1, 1, 7)
    expected = [0, 0, 128, 128, 255, 255, 255]  # truncate x * 127.5 + 128
    assert pixels.to_uint8(floats).flatten().tolist() == expected


def test_bytes_of_bfloat16_images_are_computed_in_float32() -> None:
    images = torch.linspace(-1, 1, 64).reshape(1, 1, 8, 8).bfloat16()
    assert torch.equal(pixels.to_uint8(images), pixels.to_uint8(images.float()))


# --- the processor ---------------------------------------------------------------------------------------------------


@pytest.fixture
def with_denormals() -> Iterator[None]:
    yield
    torch.set_flush_denormal(False)


@pytest.mark.usefixtures("with_denormals")
def test_flush_denormals_turns_tiny_floats_into_zero() -> None:
    if not torch.set_flush_denormal(False):
        pytest.skip("this processor cannot flush denormals")
    tiny = torch.full((4,), 2e-38)
    assert (tiny * 0.1).count_nonzero() == 4
    process.flush_denormals()
    assert (tiny * 0.1).count_nonzero() == 0


CHURN = """
import resource, torch
from dualgan.runtime.process import keep_freed_memory
keep_freed_memory()
def churn():
    for _ in range(10):
        torch.empty(10_000_000).zero_()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
print(-churn() + churn())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc's malloc")
def test_freed_memory_is_kept_for_the_next_tensor() -> None:
    faults = subprocess.run([sys.executable, "-c", CHURN], check=True, capture_output=True, text=True).stdout
    assert int(faults) < 10_000_000 * 4 // 4096  # one pass over the memory; ten without the setting


# --- ranks -----------------------------------------------------------------------------------------------------------


def test_one_process_is_a_world_of_its_own() -> None:
    values = torch.randn(3, requires_grad=True)
    assert (distributed.world_size(), distributed.rank()) == (1, 0)
    assert torch.equal(distributed.gather_with_own_gradient(values), values)
    assert distributed.gather_with_own_gradient(values).requires_grad
    assert torch.equal(distributed.mean_over_ranks(values), values)


def check_collectives(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    assert (distributed.world_size(), distributed.rank()) == (2, rank)

    values = torch.tensor([1.0, 2.0, 3.0]) + 10 * rank
    values.requires_grad_()
    gathered = distributed.gather_with_own_gradient(values)
    assert gathered.tolist() == [1, 2, 3, 11, 12, 13]
    torch.autograd.backward((gathered * torch.arange(6.0)).sum())
    assert values.grad is not None
    assert values.grad.tolist() == [[0, 1, 2], [3, 4, 5]][rank]  # own slice only, and not summed over ranks

    strided = torch.arange(6.0)[::2] + rank
    assert distributed.gather_with_own_gradient(strided).tolist() == [0, 2, 4, 1, 3, 5]

    value = torch.tensor([2.0 * rank, 5.0], requires_grad=True)
    mean = distributed.mean_over_ranks(value)
    assert mean.tolist() == [1, 5]
    assert not mean.requires_grad
    assert value.tolist() == [2.0 * rank, 5]  # left as it was
    dist.destroy_process_group()


def test_two_processes_gather_and_average(tmp_path: Path) -> None:
    context = torch.multiprocessing.get_context("spawn")
    processes = [context.Process(target=check_collectives, args=(rank, tmp_path)) for rank in range(2)]
    for child in processes:
        child.start()
    for child in processes:
        child.join()
        assert child.exitcode == 0


def test_scaling_a_gradient_leaves_the_value() -> None:
    x = torch.tensor([0.1, -3.7], requires_grad=True)
    y = distributed.scale_gradient(x.square(), 3)
    assert torch.equal(y, x.square())
    torch.autograd.backward(y.sum())
    assert x.grad is not None
    torch.testing.assert_close(x.grad, 6 * x.detach())


def test_the_garbage_collector_leaves_alone_what_exists_before_a_run_until_its_end() -> None:
    def seen(wanted: object) -> bool:
        return any(found is wanted for found in gc.get_objects())

    old: list[object] = [object()]
    assert seen(old)
    with process.pages_shared_with_forks():
        new: list[object] = [object()]
        assert not seen(old)
        assert seen(new)
    assert seen(old)
