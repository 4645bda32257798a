"""How often replies are traced to their contexts, by loops over pairs."""

import numpy as np


def by_loops(rates, lineage, weights):
    n, right, pairs = len(rates), 0.0, 0.0
    for i in range(n):
        others = [k for k in range(n) if lineage[k] != lineage[i] and not np.isnan(rates[k, k]) and weights[k]]

        def advantage(context, i=i, others=others):
            return rates[context, i] - sum(weights[k] * rates[context, k] for k in others) / sum(weights[k] for k in others)

        for j in range(n):
            if i == j or weights[i] * weights[j] == 0:
                continue
            pairs += weights[i] * weights[j]
            if np.isnan(rates[i, i]):
                right += weights[i] * weights[j] / 2
            else:
                gap = advantage(i) - advantage(j)
                right += weights[i] * weights[j] * (0.5 if abs(gap) < 1e-9 else float(gap > 0))
    return right / pairs
