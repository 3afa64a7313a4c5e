/* tanh as a quotient of two polynomials, from Lambert's continued fraction. */
static inline float net_tanh(float x)
{
    NET_EXACT
    static const float top[6] = {4095.0f, 2552550.0f, 523783260.0f, 41247931725.0f,
                                 1159525191825.0f, 7905853580625.0f};
    static const float bottom[6] = {120120.0f, 41351310.0f, 5237832600.0f, 252070693875.0f,
                                    3794809718700.0f, 7905853580625.0f};
    float square, upper = 1.0f, lower = 91.0f;
    int i;
    x = x > 9.0f ? 9.0f : x < -9.0f ? -9.0f : x;
    square = x * x;
    for (i = 0; i < 6; i++) {
        upper = upper * square;
        upper = upper + top[i];
        lower = lower * square;
        lower = lower + bottom[i];
    }
    upper = x * upper;
    x = upper / lower;
    return x > 1.0f ? 1.0f : x < -1.0f ? -1.0f : x;
}

static inline float net_logistic(float x)
{
    NET_EXACT
    float half = net_tanh(x * 0.5f) * 0.5f;
    return half + 0.5f;
}
