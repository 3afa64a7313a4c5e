"""Second lesson: train one binary weight with the straight-through estimator.

    python examples/ste_by_hand.py

The binary weight is sign(latent).  Its derivative is 0 almost everywhere, so gradient descent
would never change it.  The estimator computes the gradient of the *binary* weight and applies it to
the *latent* one, as if there were no sign.  The latent weight accumulates the small steps until its
sign flips.  This is plain Python without Tensors.
"""

target = -1.0  # what weight * x should be for x = 1
latent = 0.30  # the float before the sign; it starts on the wrong side
rate = 0.02


def sign(value):
    """Return +1 for 0 and above, as in the papers, and -1 below."""
    return 1.0 if value >= 0 else -1.0


print(" step   latent  binary     loss  true slope  estimate   new latent")
for step in range(1, 7):
    binary = sign(latent)  # forward: only the sign is used
    loss = (binary - target) ** 2
    grad_binary = 2 * (binary - target)  # the gradient of the loss for the binary weight
    true_slope = grad_binary * 0.0  # by calculus, d sign / d latent = 0
    # straight through inside [-1, 1]: always for a clipped weight, not always for an activation
    estimate = grad_binary * (abs(latent) <= 1)
    moved = latent - rate * estimate
    clipped = max(-1.0, min(1.0, moved))  # a latent weight beyond 1 could not come back
    print(
        f"{step:5d} {latent:8.2f} {binary:+7.0f} {loss:8.2f} {true_slope:11.2f} "
        f"{estimate:9.2f} {clipped:12.2f}" + ("   <- flips" if sign(clipped) != binary else "")
    )
    latent = clipped

print("\nWith the true slope, 0, the latent weight would have stayed at 0.30 forever.")
assert sign(latent) == target
