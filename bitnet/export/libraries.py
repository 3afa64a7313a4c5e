"""Folders around a C header: a library with an example for Arduino, and one for PlatformIO."""

import json
import pathlib
import re

import bitnet
from bitnet.errors import InputError
from bitnet.files import replacing

VERSION = "1.0.0"
SKETCH = """\
/* Classify an input with {name}.h and print the class; at the start, the net checks itself. */
#include <Arduino.h>
#include <{name}.h>

static {name}_state state;
static {kind} input[{upper}_INPUTS]; /* to be filled by a sensor or a camera */

void setup() {{
    Serial.begin(115200);
    int failed = {name}_self_test(&state);
    Serial.println(failed ? "the scores differ from those of Python" : "self test passed");
}}

void loop() {{
    unsigned long start = micros();
    int found = {name}_predict(&state, input);
    unsigned long elapsed_us = micros() - start;
    Serial.print("class ");
    Serial.print(found);
    Serial.print(", us ");
    Serial.println(elapsed_us);
    delay(1000);
}}
"""
PROPERTIES = """\
name={name}
version={version}
author=bitnet {bitnet}
maintainer=bitnet {bitnet}
sentence=A network of bits that classifies {inputs} inputs into {classes} classes.
paragraph=Printed from a frozen net; it needs {flash} bytes of constants and {ram} bytes of RAM.
category=Data Processing
url=
architectures=*
includes={name}.h
"""
INI = """\
[env:native]
platform = native

[env:nano_33_ble]
platform = nordicnrf52
board = nano33ble
framework = arduino
"""


def arduino(name: str, header: str, folder: pathlib.Path) -> list[pathlib.Path]:
    """Write an Arduino library with an example sketch; return its files."""
    example = pathlib.Path("examples", "predict", "predict.ino")
    properties = PROPERTIES.format(**facts(name, header))
    files = {"library.properties": properties, f"src/{name}.h": header}
    return _written(folder, "library.properties", files | {str(example): _sketch(name, header)})


def platformio(name: str, header: str, folder: pathlib.Path) -> list[pathlib.Path]:
    """Write a PlatformIO library with an example; return its files."""
    about = facts(name, header)
    text = f"A network of bits: {about['inputs']} inputs, {about['classes']} classes"
    own = {"name": name, "version": VERSION, "description": text, "headers": f"{name}.h"}
    own |= {"frameworks": "*", "platforms": "*"}
    files = {"library.json": json.dumps(own, indent=2) + "\n", f"src/{name}.h": header}
    files |= {"examples/predict/src/main.cpp": _sketch(name, header)}
    files |= {"examples/predict/platformio.ini": INI + "lib_extra_dirs = ../../..\n"}
    return _written(folder, "library.json", files)


def sizes_in(name: str, macro: str, header: str) -> list[int]:
    """Return the numbers of a macro of a header: one, or one for each form of pixels' products."""
    found = re.findall(rf"#define {name.upper()}_{macro} (\d+)", header)
    return [int(number) for number in found]


def facts(name: str, header: str) -> dict[str, str]:
    """Return the numbers in the macros of a header, as text; "84 to 6484" if forms differ."""
    macros = {"inputs": "INPUTS", "classes": "CLASSES", "flash": "FLASH_BYTES", "ram": "RAM_BYTES"}
    own = {"name": name, "version": VERSION, "bitnet": bitnet.__version__}
    for key, macro in macros.items():
        least, *others = sorted({*sizes_in(name, macro, header)})
        own[key] = f"{least} to {others[-1]}" if others else str(least)
    return own


def _sketch(name, header):
    """Return the example sketch for a net that classifies."""
    if f"{name}_self_test" not in header:
        raise InputError(f"{name}: the example needs a net that classifies one input of numbers")
    kind = "uint8_t" if "const uint8_t *pixels" in header else "float"
    return SKETCH.format(name=name, upper=name.upper(), kind=kind)


def _written(folder, mark, files):
    """Write the files of a library, into a new folder or one of an earlier export."""
    folder = pathlib.Path(folder)
    if folder.exists() and not (folder.is_dir() and _is_ours(folder, mark)):
        raise InputError(f"{folder} exists and is no library of bitnet; choose another folder")
    paths = []
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            file.write(text.encode())
        paths.append(path)
    return paths


def _is_ours(folder, mark):
    """Return whether a folder is empty or a library with this file."""
    return not any(folder.iterdir()) or (folder / mark).is_file()
