"""The numbers of scripts/emoji_quality.py, from features and pixels: numpy arrays with one row a picture."""
import numpy


def distinct(pictures):
    """(one index a picture that differs, for every picture its place among those): pixels that agree count once."""
    places = {}
    for i, picture in enumerate(pictures):
        places.setdefault((picture.shape, picture.tobytes()), (len(places), i))
    return ([i for _, i in places.values()],
            numpy.array([places[(picture.shape, picture.tobytes())][0] for picture in pictures]))


def cosines(features, gallery):
    """[pictures, gallery] in float64."""
    def normalised(rows):
        rows = rows.astype(numpy.float64)
        return rows / numpy.maximum(numpy.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return normalised(features) @ normalised(gallery).T


def ranks(similarities, targets):
    """1 where the target is the nearest. What is as near as the target goes before it, so that pictures that are all
    alike find nothing."""
    own = similarities[numpy.arange(len(targets)), targets]
    return (similarities >= own[:, None]).sum(axis=1)


def deranged(count, seed):
    """A random order of 0 to count - 1 in which nothing stays in its place; None where there is no such order."""
    if count < 2:
        return None
    circle = numpy.random.default_rng(seed).permutation(count)
    order = numpy.empty(count, dtype=int)
    order[circle] = numpy.roll(circle, 1)
    return order


def frechet_distance(one, other):
    """Between the Gaussians of two sets of features. The trace of (S1 S2)^1/2 is that of (S1^1/2 S2 S1^1/2)^1/2,
    taken from eigenvalues in float64; singular covariances need no offset."""
    one, other = one.astype(numpy.float64), other.astype(numpy.float64)
    first, second = (numpy.atleast_2d(numpy.cov(rows, rowvar=False)) for rows in (one, other))
    values, vectors = numpy.linalg.eigh(first)
    root = (vectors * numpy.sqrt(values.clip(0))) @ vectors.T
    shared = numpy.sqrt(numpy.linalg.eigvalsh(root @ second @ root).clip(0)).sum()
    shift = ((one.mean(axis=0) - other.mean(axis=0)) ** 2).sum()
    return float(shift + numpy.trace(first) + numpy.trace(second) - 2 * shared)


def psnr(pictures, truths):
    """In dB over all pixels of all pictures, uint8; None where they are equal."""
    squares = sum(((a.astype(numpy.float64) - b) ** 2).sum() for a, b in zip(pictures, truths, strict=True))
    if squares == 0:
        return None
    return float(10 * numpy.log10(255**2 * sum(a.size for a in pictures) / squares))
