"""First lesson: compute the dot product of eight signs with one XOR and one popcount.

    python examples/xnor_by_hand.py

This is plain Python without arrays or libraries.
"""

activations = [+1, -1, -1, +1, +1, +1, -1, -1]
weights = [+1, +1, -1, -1, +1, +1, -1, +1]


def show(name, byte):
    """Print a byte in binary, bit 7 first."""
    print(f"{name:22} {byte:08b}   = {byte}")


def pack(signs):
    """Pack eight signs into one byte: bit i is 1 if sign i is +1."""
    byte = 0
    for i, sign in enumerate(signs):
        if sign == +1:
            byte |= 1 << i
    return byte


print("signs, element 0 first")
print("  activations", "".join(f"{s:+d} " for s in activations))
print("  weights    ", "".join(f"{s:+d} " for s in weights))

print("\nThe long way: eight products, seven additions")
products = [a * w for a, w in zip(activations, weights, strict=True)]
print("  products   ", "".join(f"{p:+d} " for p in products), " sum =", sum(products))

print("\nOne byte each: bit i is element i, 1 means +1, 0 means -1 (printed bit 7 first: read from")
print("the right)")
a, w = pack(activations), pack(weights)
show("  activations", a)
show("  weights", w)

print("\nXOR gives 1 where the signs differ, that is, where the product is -1")
differ = a ^ w
show("  a XOR w", differ)

print("\npopcount counts those ones")
count = differ.bit_count()
print("  popcount              ", count)

print("\nOf n = 8 products, `count` are -1 and n - count are +1, so their sum is n - 2 count")
n = 8
print(f"  {n} - 2 * {count} =", n - 2 * count)

assert n - 2 * count == sum(products)
print(
    "\nA word of 64 bits does 64 products at once.  A row of, say, 100 signs takes two words; the"
)
print("28 bits left over are 0 in both operands, so they never differ and add nothing.")
