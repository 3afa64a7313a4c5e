"""Inputs of a net in C: the arguments of its functions; and planes of pixels."""

from bitnet.deploy.products import TopPlanes
from bitnet.deploy.sources import Ids, Input
from bitnet.export.c.printer import Place, printer

TYPES = {"pixels": "uint8_t", "signs": "uint32_t", "numbers": "float", "ids": "int32_t"}
KINDS = {"pixels": "uint8", "signs": "bits", "numbers": "float32", "ids": "int64"}


@printer(Input, Ids)
def enter(p, i, node):
    """Add an argument; its values are read where the caller has them."""
    known = [name for name, _, _ in p.arguments]
    name = node.kind if node.kind not in known else f"{node.kind}{len(known)}"
    place = Place(name, KINDS[node.kind], p.shape(i))
    n = place.positions * place.step if place.is_packed else place.size
    p.arguments.append((name, TYPES[node.kind], n))
    return place


@printer(TopPlanes)
def planes(p, i, node):
    """Keep pixels as bytes, of which products see the top planes; others get planes in memory."""
    x, readers = p.operand(node.inputs[0]), p.graph.readers[i]
    products = ("linear", "conv")
    if all(j >= 0 and p.graph.nodes[j].kind in products for j in readers):
        return x.has(shift=8 - node.planes)
    y = p.result(i)
    p.use("split_bytes")
    at = f"{x.at} + i * {x.shape[-1]}, {x.shape[-1]}, {node.planes}, {y.at} + i * {y.step}"
    loop = f"for (i = 0; i < {y.positions}; i++)"
    p.add("{", "int i;", loop, f"    net_split_bytes({at});", "}")
    return y
