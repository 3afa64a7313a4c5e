/* Return the class: the first one with the largest score. */
static inline int net_predict(net_state *state, INPUTS)
{
    KIND scores[CLASSES];
    int best = 0, i;
    net_scores(state, NAMES, scores);
    for (i = 1; i < CLASSES; i++)
        if (scores[i] > scores[best])
            best = i;
    return best;
}
