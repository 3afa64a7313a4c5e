/* The products of floats with the rows of a matrix, each summed in order, plus a bias. */
static inline void net_float_rows(const float *x, int n, const float *weight, const float *bias,
                                  int units, float *y)
{
    NET_EXACT
    int j, k;
    for (j = 0; j < units; j++, weight += n) {
        float total = 0;
        for (k = 0; k < n; k++) {
            float product = x[k] * NET_READF(weight + k);
            total += product;
        }
        y[j] = bias ? total + NET_READF(bias + j) : total;
    }
}
