"""The library of an array, moving arrays between devices, and errors about a missing GPU."""

import importlib.util
import sys
import types

import numpy as np
import pytest
import same_numbers
import stand_in

import bitnet
from bitnet import InputError, kernels
from bitnet.__main__ import main
from bitnet.arrays import array_module, is_array, like, moved, unshared
from bitnet.devices import full_memory_named, gpu_problem, mover, stream, to_cpu, to_gpu
from bitnet.kernels import BitPlanes, Bits, Quantized, Thresholds


@pytest.fixture
def cupy():
    with stand_in.installed() as module, kernels.using("reference"):
        yield module


def held():
    """Return one object of each class that holds arrays."""
    bits = kernels.pack(np.float32([[1, -1, 1]]))
    return [
        np.ones(2),
        bits,
        kernels.split_planes(np.uint8([[1, 2]])),
        Quantized(np.array([[1]], np.int16), np.float32([0.5]), 7),
        Thresholds(np.int32([3]), np.array([True])),
        bitnet.Tensor([1.0], requires_grad=True),
        kernels.Product(np.ones((1, 1)), bits),
    ]


def test_the_array_decides_the_library(cupy):
    for own in held():
        assert array_module(own) is np
        assert array_module(3.0, own) is np
    for own in map(to_gpu, held()[:-1]):
        assert array_module(own) is cupy
        assert array_module(3.0, None, own) is cupy
        assert not is_array(own) or own.get() is not own
        assert array_module(to_cpu(own)) is np
    assert array_module(kernels.Product(*map(to_gpu, (np.ones((1, 1)), held()[1])))) is cupy


def test_what_is_moved_is_the_same(cupy):
    array, bits, planes, quantized, steps, tensor, _ = held()
    index = slice(1, None), ..., 0
    found = to_gpu({"a": (array, [bits, None]), "b": planes, "c": 3, "d": "x", "e": index})
    assert isinstance(found["a"][0], cupy.ndarray)
    assert found["a"][1][1] is None
    assert (found["c"], found["d"], found["e"]) == (3, "x", index)
    assert to_cpu(found["a"][1][0]) == bits
    assert found["a"][1][0] == bits  # across devices
    assert isinstance(found["b"], BitPlanes)
    assert found["b"].values().tolist() == planes.values().tolist()
    assert to_gpu(quantized).numbers().tolist() == [[0.5]]
    assert to_cpu(to_gpu(steps)).values is not steps.values
    there = to_gpu(tensor)
    assert there.requires_grad
    (there * 2.0).sum().backward()
    assert there.grad.tolist() == [2.0]
    assert to_cpu(array) is array
    once = to_gpu(array)
    assert like(once, once).get().tolist() == [1, 1]
    with pytest.raises(InputError, match="its method `to`"):
        to_gpu(bitnet.nn.Linear(2, 2, rng=np.random.default_rng(0)))


class Odd(bitnet.nn.Module):
    """A module with state in lists and dicts, shared parameters and counters."""

    def __init__(self):
        self.weight = self.again = bitnet.autograd.LatentWeight([[1.0, -2.0]], clip=1.0)
        self.many = [np.ones(2), np.zeros((), np.int64)]
        self.named = {"a": np.zeros(3), "b": self.weight}
        self.inside = [bitnet.nn.BatchNorm(2)]
        self.rng = np.random.default_rng(0)


def test_a_module_moves_with_all_that_it_holds(cupy):
    module = Odd()
    weight, before = module.weight, module.state_dict()
    weight.grad = np.float32([[3.0, 4.0]])
    weight.keep_signs(weight.signs.words)
    assert module.to("gpu") is module
    assert module.device == module.inside[0].device == "gpu"
    assert module.weight is module.again is module.named["b"] is weight
    there = [weight.data, weight.grad, weight.signs.words, module.many[0], module.named["a"]]
    there += [module.inside[0].running_mean, module.inside[0].gamma.data]
    assert all(isinstance(array, cupy.ndarray) for array in there)
    assert isinstance(module.many[1], np.ndarray)  # a counter
    assert isinstance(module.inside[0].batches, np.ndarray)
    same_numbers.assert_same("stand-in", module.state_dict(), before)
    other = Odd().to("gpu")
    other.load_state_dict(module.state_dict())
    assert isinstance(other.many[0], cupy.ndarray)
    module.to("gpu")
    assert weight.data is there[0]  # it was there
    assert module.to("cpu").device == "cpu"
    assert weight.has_signs
    assert weight.grad.tolist() == [[3.0, 4.0]]
    same_numbers.assert_same("stand-in", module.state_dict(), before)


def test_a_summary_is_the_same(cupy):
    rng = np.random.default_rng(0)
    few = {"weight_quantizer": 2, "activation_quantizer": 3, "width": 5, "units": 6}
    convnet = bitnet.nn.models.binary_convnet((4, 4, 3), [(5,)], [3], rng=rng)
    for model in (convnet, bitnet.nn.models.language_model(9, rng=rng, **few)):
        net = bitnet.freeze(model)
        expected = bitnet.summary(model), bitnet.summary(net)
        there = bitnet.freeze(model).to("gpu")
        assert (bitnet.summary(model.to("gpu")), bitnet.summary(there)) == expected


def test_edited_weights_on_the_gpu_are_packed_again(cupy):
    """CuPy arrays cannot be read-only; `edit` drops the cached signs, as on the CPU."""
    weight = bitnet.autograd.LatentWeight([[1.0, -2.0]], clip=1.0)
    weight.move(cupy.asarray)()
    weight.keep_signs(weight.signs.words)
    assert weight.has_signs
    weight.edit()[...] = -weight.data
    assert not weight.has_signs
    assert weight.signs.signs().tolist() == [[-1, 1]]


def test_a_parameter_stays_one(cupy):
    weight = bitnet.autograd.LatentWeight([[1.0, -2.0]], clip=2.0, lr_scale=3.0, is_binary=False)
    there = to_gpu(weight)
    assert isinstance(there, bitnet.autograd.Parameter)
    assert (there.clip, there.lr_scale, there.is_binary) == (2.0, 3.0, False)
    assert there.data.tolist() == [[1, -2]]
    assert array_module(to_cpu(there)) is np


def test_layouts_are_made_again_where_they_were_kept(cupy):
    with kernels.using("numba"):
        bits, planes = map(kernels.prepare, held()[1:3])
    for own in (bits, planes):
        assert to_gpu(own).layouts is not None
    assert to_gpu(Bits(bits.words, bits.shape)).layouts is None
    assert "planes" in to_gpu(planes).layouts


def test_unshared_arrays_of_the_gpu(cupy):
    x = cupy.asarray(np.zeros(4))
    one, two, three = unshared([x, x[:2], cupy.asarray(np.ones(1))])
    two[...] = 5
    assert one is x
    assert x.tolist() == [0, 0, 0, 0]
    assert three.tolist() == [1]


def test_a_stream(cupy):
    with stream() as own:
        x = to_gpu(np.ones(2)) + 1
        assert not own.waited_for
    assert own.waited_for
    assert x.tolist() == [2, 2]


def test_a_speed_is_of_work_that_is_done(cupy):
    current = cupy.cuda.get_current_stream()
    bitnet.training.images_per_second(lambda x: x + 1, np.ones(3), 1)
    assert not current.waited_for
    bitnet.training.images_per_second(lambda x: bitnet.Tensor(x) + 1.0, to_gpu(np.ones(3)), 1)
    assert current.waited_for


def test_an_unknown_device():
    with pytest.raises(InputError, match="device is 'tpu'; expected one of cpu, gpu"):
        mover("tpu")


@pytest.mark.parametrize("kind", [MemoryError, RuntimeError, TypeError])
def test_other_errors_stay_what_they_are(kind):
    with pytest.raises(kind, match="of another kind"), full_memory_named():
        raise kind("of another kind")


def test_errors_of_a_full_memory_beside_cupys_pool():
    with pytest.raises(InputError, match=r"is full \(CUBLAS_STATUS"), full_memory_named():
        raise RuntimeError("CUBLAS_STATUS_ALLOC_FAILED")
    loading = "[2] Call to cuModuleLoadDataEx results in CUDA_ERROR_OUT_OF_MEMORY"
    with (
        pytest.raises(InputError, match=r"is full \(\[2\] Call") as raised,
        full_memory_named(),
        full_memory_named(),
    ):
        raise Exception(loading)
    assert str(raised.value).count("is full") == 1


# why there is no GPU


def runtime(driver=13000, count=1, error=None):
    def devices():
        if error:
            raise RuntimeError(error)
        return count

    return types.SimpleNamespace(
        driverGetVersion=lambda: driver, runtimeGetVersion=lambda: 12090, getDeviceCount=devices
    )


INSUFFICIENT = "cudaErrorInsufficientDriver: CUDA driver version is insufficient"
PROBLEMS = {
    "no driver": (runtime(driver=0, error=INSUFFICIENT), "there is no NVIDIA driver"),
    "an old one": (
        runtime(driver=11040, error=INSUFFICIENT),
        "the driver supports CUDA up to 11.4, and CuPy needs 12.9; install a newer driver",
    ),
    "no device": (
        runtime(error="cudaErrorNoDevice: no CUDA-capable device is detected"),
        r"finds no GPU \(cudaErrorNoDevice.*nvidia-smi",
    ),
    "none in view": (runtime(count=0), "the driver finds no GPU; check the output of `nvidia-smi`"),
}


@pytest.mark.parametrize("case", PROBLEMS)
def test_a_gpu_that_cannot_be_used_is_one_sentence(cupy, case, capsys):
    cupy.cuda.runtime, expected = PROBLEMS[case]
    with pytest.raises(InputError, match=f"^no GPU: .*{expected}"):
        to_gpu(np.ones(2))
    with pytest.raises(InputError, match=f"^no GPU: .*{expected}"):
        bitnet.nn.Linear(2, 2, rng=np.random.default_rng(0)).to("gpu")
    with pytest.raises(InputError, match=r"^no GPU"), stream():
        pass
    for command in (["train"], ["evaluate", "no file"], ["predict", "no file", "x"]):
        with pytest.raises(SystemExit) as left:
            bitnet.cli.run(lambda command=command: main([*command, "--gpu"]))
        assert left.value.code == 1
        error = capsys.readouterr().err
        assert error.startswith("error: --gpu: ")
        assert error.count("\n") == 1
    assert dict(bitnet.show_versions())["gpu"] == gpu_problem()


def test_a_cupy_that_is_not_there(monkeypatch):
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert gpu_problem().startswith("CuPy is not installed; run `pip install 'cupy-cuda12x[ctk]' ")


def test_a_cupy_that_cannot_be_imported(monkeypatch, tmp_path):
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    (tmp_path / "cupy.py").write_text("raise ImportError('libcudart.so.12: no such file')")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert gpu_problem().startswith("CuPy cannot be imported (libcudart.so.12: no such file); ")


def test_a_cublas_that_is_not_there(cupy):
    class Cuda:
        runtime = cupy.cuda.runtime

        @property
        def cublas(self):
            raise ImportError('Failure finding "libcublas.so.13":\n  no such file')

    cupy.cuda = Cuda()
    problem = gpu_problem()
    assert problem.startswith('CuPy finds no cuBLAS (Failure finding "libcublas.so.13": no such')
    assert "`pip install 'cupy-cuda12x[ctk]'" in problem


def test_kernels_that_cannot_be_compiled(cupy, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda n: None if n == "numba_cuda" else find(n)
    )
    with kernels.using("numba"):
        assert gpu_problem().startswith("numba-cuda, which compiles the kernels, is not installed")
    assert gpu_problem() is None


def test_a_gpu_that_can_be_used_is_described(cupy):
    words = dict(bitnet.show_versions())["gpu"]
    assert words == ("no device, compute capability 9.0, 1 GiB, CUDA 12.9 (driver), 12.9 (CuPy)")


# which kernels run


def test_cupys_arrays_go_to_the_kernels_of_the_gpu(cupy, monkeypatch):
    """Dispatch is by name; a function without a GPU kernel runs its definition."""
    calls = []
    own = types.ModuleType("bitnet.kernels.cuda")
    own.pack = lambda x: calls.append("pack") or kernels.reference.pack(x)
    own.update = lambda *given: calls.append("update") or 7
    own.find = vars(own).get
    monkeypatch.setitem(sys.modules, "bitnet.kernels.cuda", own)
    kernels.dispatch._function.cache_clear()
    try:
        with kernels.using("numba"):
            bits = kernels.pack(to_gpu_unasked(cupy, np.float32([[1, -2]])))
            assert calls == ["pack"]
            assert kernels.dispatch.kernel(kernels.reference.transpose)(bits).signs().tolist() == [
                [1],
                [-1],
            ]  # the definition
            assert calls == ["pack"]
            assert kernels.pack(np.float32([[1, -2]])) == bits  # NumPy's
            w, g, v = (to_gpu_unasked(cupy, np.ones((1, 2), np.float32)) for _ in range(3))
            assert kernels.update("sgd", w, g, [v], [1.0, 0.0, 0.0]) == 7  # the moments in a list
            assert calls[-1] == "update"
        with kernels.using("reference"):
            calls.clear()
            kernels.pack(to_gpu_unasked(cupy, np.float32([[1, -2]])))
            assert calls == []
        with kernels.using("cuda"):
            kernels.pack(np.float32([[1, -2]]))
            assert calls == ["pack"]
            assert kernels.implementation() == "cuda"
    finally:
        kernels.dispatch._function.cache_clear()


def to_gpu_unasked(cupy, x):
    """Move to the GPU without the check for numba-cuda."""
    return moved(x, cupy.asarray)


def test_cuda_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "bitnet.kernels.cuda", None)
    with pytest.raises(InputError, match="Numba cannot be imported"), kernels.using("cuda"):
        pass


def test_arrays_of_the_gpu_without_its_kernels(cupy, monkeypatch):
    monkeypatch.setitem(sys.modules, "bitnet.kernels.cuda", None)
    kernels.dispatch._function.cache_clear()
    x = to_gpu_unasked(cupy, np.ones((1, 2), np.float32))
    with kernels.using("numba"), pytest.raises(InputError, match=r"pack: .*see `bitnet status`"):
        kernels.pack(x)


def test_without_cupy_no_operand_is_looked_at(monkeypatch):
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    with kernels.using("numba"):
        from bitnet.kernels.cpu.pack import pack

        assert kernels.dispatch.kernel(kernels.reference.pack) is pack
