"""Phrases and names that no text of the project contains: plain words stand in their places."""

import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parents[1]
SUFFIXES = {".cfg", ".cff", ".md", ".py", ".svg", ".toml", ".txt", ".yml"}
NOT_OURS = "bitnet/data/plays", "bitnet/data/digits", "benchmarks/results"
COUNTED = (
    "activations|bits|bytes|coefficients?|comparisons?|counts?|gradients?|images|integers?|layers|"
    "lines?|mean|means|multiplications?|numbers?|operations|popcounts|products?|rows?|scales?|"
    "seconds|sentence|signs?|sums?|thresholds?|tokens|units|values?|weights|words"
)
EACH = (
    "batch|bit|block|channel|character|class|code|column|element|epoch|feature|filter|image|layer|"
    "line|neuron|pixel|plane|prediction|row|sample|second|sentence|step|text|thread|token|unit|"
    "weight|word"
)
# what is not written: what is written instead
PHRASES = {
    r"\b[Bb]ehind\b": "after",
    r"\b(is|are|was|were) of (?!the same|shape|type|size|length|this|no use|use)": "has",
    rf"\b(?:{COUNTED}) an? (?:{EACH})\b": "per",
    r"\b(goes|go|going|gone|went) on (with|where)\b": "resume",
    r"\b(begin|begun|begins|began|install|write|written|laid out|make|made) anew\b": "start over",
    r"\b(held|holds?|holding) (?:\w+ ){0,4}against\b": "compare with",
    r"\bothers\s+than\b": "different from",
    r"\bthat (is|are) wanted\b": "requested",
    r"\bstands? between\b": "is between",
    r"\b(lets?|letting) (?:\w+ ){1,3}go\b|\blet go\b": "drop, release",
    r"\bunnoticed\b": "not detected",
    r"\b(of|in) (a )?few(er)? bits\b": "low-bit, k-bit",
    r"\bdoes not know where\b": "detached from the graph",
    r"\bleave (it|them|one of them|that) out\b": "remove it",
    r"\bPython's (?!own|lock|license)": "Python",
    r"\bmultiplies with\b|\bmultiplied with (?:the|each|its|their|unpacked)\b": "by",
    r"\b(read|written|file|archive)s?,? whole or (?:not|refused)\b": "completely or not at all",
    r"\b(told|tell) apart\b": "distinguish",
    r"\b(pass|passes|passing) (it|them) on\b": "redistribute",
    r"\blook(ed|s)? for below\b": "is searched for in",
    r"\bas of (?:an?|the)? ?(?:`|binary|layer|quantizer)": "such as from",
    r"\b(is|are) (?:of|from) an?other [a-z]+ than\b|\banother [a-z]+ than\b": "different from",
    r"\bthe (?:source|generator) of (?:the first|randomness)\b": "generator of the initial",
    r"\bthe first (?:weights|numbers) of\b": "initial weights",
    r"\b(Modules|modules) directly inside\b": "direct submodules",
    r"\b(the|with) usual ones\b": "the standard optimizers",
    r"\bthe same bytes as a run without a stop\b": "as an uninterrupted run",
    r"\brectified units\b": "ReLU units",
    r"\b(on|for) data that nobody\b": "unseen",
}
NAMES = (
    "beta1=|beta2=|clip_gradients|followed_by|kernels\\.Levels|Logarithmic|Planes|quantizers\\.Linear|"
    "set_window|step_scale|summarize|takes_bits|Thresholds\\.rising"
)


def texts():
    """The project's own text files, with their contents."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    for name in listed.stdout.split("\0"):
        path = ROOT / name
        ours = path.suffix in SUFFIXES and not name.startswith(NOT_OURS)
        if ours and path != pathlib.Path(__file__) and path.is_file():
            yield name, path.read_text("utf-8")


def found(pattern):
    """Where a pattern occurs: "file:line: text"."""
    pattern = re.compile(pattern.replace(" ", r"\s+"), re.IGNORECASE if " " in pattern else 0)
    for name, text in texts():
        for match in pattern.finditer(text):
            yield f"{name}:{text.count(chr(10), 0, match.start()) + 1}: {match.group()}"


@pytest.mark.parametrize("pattern", PHRASES)
def test_plain_words(pattern):
    places = list(found(pattern))
    assert not places, f"write {PHRASES[pattern]!r} instead:\n" + "\n".join(places)


def test_old_names():
    places = list(found(rf"(?<!\w)(?:{NAMES})(?!\w)"))
    assert not places, "\n".join(places)
