"""The paper's rule (Sec. 3.3): a random prompt volume; query slice n of N_q is shown its slice floor(n N_p / N_q).

More than one prompt takes the same slice from as many random volumes as there are.
"""

import numpy as np

from mvg.prediction.selection.retrieval import PromptIndex, QuerySlice


def select(query: QuerySlice, index: PromptIndex, count: int, rng: np.random.Generator) -> tuple[int, ...]:
    """One slice from each of up to `count` random volumes, the same volumes for every slice of the query."""
    chosen = []
    for volume in rng.permutation(np.unique(index.volume))[:count]:
        members = np.flatnonzero(index.volume == volume)
        number = query.index * int(index.count[members[0]]) // query.count
        chosen.append(int(members[np.argmin(np.abs(index.index[members] - number))]))
    return tuple(chosen)
