"""The patch of a convolution in C: the taps of one output position, side by side."""


def gathered(product, row, column, group):
    """Return the statements that copy the taps of one position into the patch."""
    p, x, window = product.printer, product.x, product.window
    (down, right), ((above, _), (before, _)) = window.stride, window.padding
    height, wide, channels = x.shape[1:]
    n, words, taps = channels // product.groups, product.matrix.words, window.taps
    first = f"{group} * {n}" if product.groups > 1 else "0"
    inside = f"up >= 0 && up < {height} && at >= 0 && at < {wide}"
    full = "0xffffffffu" if window.border == 1 else "0"
    loops = [
        f"for (r = 0; r < {window.size[0]}; r++) {{",
        f"for (c = 0; c < {window.size[1]}; c++) {{",
        f"int up = {row} * {down} - {above} + r * {window.dilation[0]};",
        f"int at = {column} * {right} - {before} + c * {window.dilation[1]};",
        f"int tap = (r * {window.size[1]} + c) * {n};",
    ]
    lines = ["int r, c;"]
    lines += [f"uint32_t *mask = {product.mask};"] if product.masked else []
    if product.masked:
        p.use("fill_bits")
        own = [f"net_fill_bits(mask, tap, {inside} ? 0xffffffffu : 0, {n});"]
        own += [f"inside += {inside} ? {n} : 0;"]
        lines += ["inside = 0;", *loops, *own, "}", "}", f"missing = {taps * n} - inside;"]
        lines.append("(void)missing;")
    if not x.is_packed:
        value = "255" if window.border == 1 else "0"
        at = f"{x.at}[(up * {wide} + at) * {channels} + {first} + k]"
        copied = ["int k;", f"for (k = 0; k < {n}; k++)"]
        copied += [f"    {product.patch}[tap + k] = {inside} ? {at} : {value};"]
        return [*lines, *loops, *copied, "}", "}"]
    p.use("copy_bits", *["fill_bits"] * product.is_padded)
    source = f"{x.at} + (up * {wide} + at) * {x.step}"
    lines += ["int b;"] if x.planes > 1 else []
    many = x.planes > 1
    patch = f"{product.patch} + b * {words}" if many else product.patch
    source = f"{source} + b * {x.words}" if many else source
    copied = [f"net_copy_bits({patch}, tap, {source}, {first}, {n});"]
    if product.is_padded:
        outside = f"net_fill_bits({patch}, tap, {full}, {n});"
        copied = [f"if ({inside})", f"    {copied[0]}", "else", f"    {outside}"]
    opened = [f"for (b = 0; b < {x.planes}; b++) {{"] if many else []
    return [*lines, *opened, *loops, *copied, "}", "}", *["}"] * many]
