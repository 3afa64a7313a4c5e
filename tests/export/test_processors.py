"""What exported C needs, its figures on emulated processors, and the report on MISRA C."""

import importlib
import pathlib
import re
import shutil
import subprocess
import sys

import misra
import numpy as np
import pytest
from exported import CASES, case
from processors import CORES, CYCLES, Header, read_elf, sections

import bitnet
from bitnet import InputError
from bitnet.export import to_c

ROOT = pathlib.Path(bitnet.__file__).parent.parent
EMULATED = [name for name, core in CORES.items() if core.model or name == "rv32"]
# of the compiler's own library: floats, where there are none, and wide products, shifts, divisions
ARM = re.compile(r"__aeabi_(f\w+|i2f|ui2f|f2iz|lmul|llsr|llsl|(u?idiv|idivmod|uidivmod))")
RISCV = re.compile(
    r"__(add|sub|mul|div)sf3|__(eq|ne|lt|le|gt|ge|unord)sf2|__float(un)?sisf|__fixsfsi"
)
MISRA = ROOT / "docs" / "misra.md"


def needs(core):
    """Skip a test if the packages of a core are not installed."""
    if absent := CORES[core].missing():
        pytest.skip(f"{' and '.join(absent)} not installed: see the extra embed")


def needed(name, core, folder, flag):
    """Return what a program needs that is no arithmetic of the compiler's library."""
    needs(core)
    own = RISCV if core == "rv32" else ARM
    found = CORES[core].undefined(case(name).header, folder, [flag])
    return [name for name in found if not own.fullmatch(name)]


@pytest.mark.parametrize("flag", ["-O0", "-Os", "-O3"])
@pytest.mark.parametrize("core", ["cortex-m0", "rv32"])
def test_nothing_but_arithmetic_is_needed(core, flag, tmp_path):
    assert needed("convnet", core, tmp_path, flag) == []
    if core == "cortex-m0":
        assert needed("mlp integer", "cortex-m4f", tmp_path, flag) == []
        assert CORES["cortex-m4f"].undefined(case("convnet").header, tmp_path, [flag]) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_no_net_needs_anything_but_arithmetic(name, tmp_path):
    for core in ("cortex-m0", "rv32"):
        for flag in ("-O0", "-O2"):
            assert needed(name, core, tmp_path, flag) == [], (core, flag)


def test_the_calls_that_are_found(tmp_path):
    needs("cortex-m0")
    text = to_c(case("mlp").net).replace("(void)state;", "(void)state; missing_function();")
    declared = text.replace("typedef struct", "void missing_function(void);\ntypedef struct", 1)
    header = Header(declared, "net")
    assert "missing_function" in CORES["cortex-m0"].undefined(header, tmp_path)


@pytest.fixture
def embedded(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("embedded")


def test_figures(embedded):
    for core in EMULATED:
        needs(core)
    text = to_c(case("mlp").net, "digits", first="tables")
    found = embedded.measure(text, "digits", cores=["cortex-m0", "rv32"])
    assert found == embedded.measure(text, "digits", cores=["cortex-m0", "rv32"])
    m0, rv32 = found["cortex-m0"], found["rv32"]
    assert m0["state"] == rv32["state"] >= 2 * 16 * 15  # the tables of 60 pixels
    assert 1_000 < m0["instructions"] < m0["cycles"] < 3 * m0["instructions"]
    assert m0["ms"] == m0["cycles"] / 48_000
    assert 0 < m0["stack"] < 1_000 < m0["text"] < 10_000
    assert rv32["cycles"] is None
    assert rv32["needs"] == ["__addsf3", "__floatsisf", "__gtsf2", "__mulsf3"]
    lines = embedded.table(found).splitlines()
    assert len({line.count("|") for line in lines[:4]}) == 1
    assert lines[5].startswith("cortex-m0 needs __aeabi_fadd")


@pytest.mark.parametrize(
    ("table", "first", "second", "cycles"),
    [
        ("m0", 0x1840, None, 1),  # ADDS r0, r0, r1
        ("m0", 0x6808, None, 2),  # LDR r0, [r1]
        ("m0", 0x4801, None, 2),  # LDR r0, [pc, #4]
        ("m0", 0xB5F0, None, 6),  # PUSH {r4-r7, lr}
        ("m0", 0xBDF0, None, 7),  # POP {r4-r7, pc}, without the jump
        ("m0", 0xC107, None, 4),  # STM r1!, {r0-r2}
        ("m0", 0xF000, 0xF800, 2),  # BL, without the jump
        ("m4", 0xBF08, None, 1),  # IT EQ
        ("m4", 0xF8D1, 0x0004, 2),  # LDR.W r0, [r1, #4]
        ("m4", 0xE9D1, 0x0100, 3),  # LDRD r0, r1, [r1]
        ("m4", 0xE8BD, 0x81F0, 7),  # POP.W {r4-r8, pc}
        ("m4", 0xFB91, 0xF0F2, 7),  # SDIV r0, r1, r2
        ("m4", 0xFB01, 0xF002, 1),  # MUL r0, r1, r2
        ("m4", 0xEE80, 0x0A20, 14),  # VDIV.F32
        ("m4", 0xEE30, 0x0A20, 1),  # VADD.F32
        ("m4", 0xED91, 0x0A00, 2),  # VLDR
        ("m4", 0xECBD, 0x8A04, 5),  # VPOP {s16-s19}
        ("m4", 0xED2D, 0x8B04, 5),  # VPUSH {d8, d9}
        ("m4", 0xEC51, 0x0B10, 1),  # VMOV r0, r1, d0
        ("m4", 0xBDF0, None, 6),  # POP {r4-r7, pc}, without the jump
    ],
)
def test_cycles_of_instructions(table, first, second, cycles):
    assert CYCLES[table][0](first, second) == cycles


TOY = Header(
    """#include <stdint.h>
#define TOY_INPUTS 100
#define TOY_CLASSES 1
#define TOY_INTEGERS 0
typedef struct { int32_t sum; } toy_state;
static inline void toy_scores(toy_state *state, const uint8_t *pixels, float *scores)
{
    scores[0] = (float)state->sum + pixels[0];
}
static inline int toy_predict(toy_state *state, const uint8_t *pixels)
{
    volatile uint8_t most[250];
    int i;
    state->sum = 0;
    for (i = 0; i < 100; i++) {
        most[i] = pixels[i];
        state->sum += most[pixels[i] & 63u];
    }
    return state->sum;
}
""",
    "toy",
)


@pytest.mark.parametrize("core", EMULATED)
def test_each_instruction_is_counted(core, tmp_path):
    needs(core)
    own = importlib.import_module("unicorn")
    machine = CORES[core].machine(TOY, tmp_path, see=False, functions=["run_predict"])
    pixels, single = np.arange(100, dtype=np.uint8), []
    machine.put([pixels])
    counted = machine.counted("run_predict")
    hook = machine.uc.hook_add(own.UC_HOOK_CODE, lambda uc, at, size, data: single.append(at))
    assert machine.call("run_predict") == sum(k & 63 for k in range(100))
    machine.uc.hook_del(hook)
    assert counted["instructions"] == len(single) > 500
    assert 100 <= counted["stack"] < 400


def test_branches_of_cortex_m0_plus_take_one_cycle_less(tmp_path):
    needs("cortex-m0")
    found = {}
    for name in ("cortex-m0", "cortex-m0+"):
        machine = CORES[name].machine(TOY, tmp_path, ["-Os"], False, ["run_predict"])
        found[name] = machine.counted("run_predict")["cycles"]
    assert 99 <= found["cortex-m0"] - found["cortex-m0+"] <= 110  # the loop jumps 99 times


@pytest.mark.parametrize("name", ["mlp", "convnet", "shortcuts", "digits tables"])
@pytest.mark.parametrize("core", ["cortex-m0+"])
def test_promised_bytes(name, core, tmp_path):
    needs(core)
    text = case(name).header.text
    promised = "extern char ram[NET_RAM_BYTES], flash[NET_FLASH_BYTES];\n"
    promised += promised.removeprefix("extern ")
    header = Header(text + promised, "net")
    path = CORES[core].compiled(header, tmp_path, see=False, link=False, functions=["run_predict"])
    own = {name: symbol["st_size"] for name, symbol in read_elf(path)[1].items()}
    assert own["state"] == own["ram"]
    assert sections(path)["rodata"] <= own["flash"] + 32  # and constants of the compiler's


def deviations(name):
    """Return the rules of MISRA C that a net deviates from, and those with a reason."""
    if shutil.which("cppcheck") is None:
        pytest.skip("cppcheck is not installed")
    explained = re.findall(r"^\| (\d+\.\d+) \|", MISRA.read_text(), re.MULTILINE)
    return misra.counts_of(case(name).header.text), set(explained)


def test_deviations_from_misra_have_a_reason():
    found, explained = deviations("mlp")
    assert found.keys() <= explained
    assert found["8.9"] > 5


@pytest.mark.slow
@pytest.mark.parametrize("name", ["convnet", "sequences 5", "shortcuts"])
def test_deviations_of_other_nets_from_misra_have_a_reason(name):
    found, explained = deviations(name)
    assert found.keys() <= explained


def test_the_report_on_misra(tmp_path):
    if shutil.which("cppcheck") is None:
        pytest.skip("cppcheck is not installed")
    (tmp_path / "net.h").write_text(case("mlp").header.text)
    (tmp_path / "other.h").write_text("int n;\n")
    command = [sys.executable, str(ROOT / "tools" / "misra.py")]
    done = subprocess.run([*command, tmp_path / "net.h"], capture_output=True, text=True)
    assert done.returncode == 0
    assert re.fullmatch(r"( +\d+\.\d+ +\d+\n)+\d+ rules, \d+ places\n", done.stdout)
    with pytest.raises(InputError, match="no NAME_scores; expected a header"):
        misra.counts_of("int n;\n")
