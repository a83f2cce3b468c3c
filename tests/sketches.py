"""What a stored sketch holds, so that sketches can be compared whose bytes are left to chance or to order."""

import datasketches as ds


def content(kind, cell):
    """Its items where it keeps all of them, else what can be told of it exactly.

    Parameters
    ----------
    kind : str
        As in `COMPLEX<kind>`.
    cell : bytes or None
    """
    if not cell:
        return cell
    if kind == "thetaSketch":
        theta = ds.compact_theta_sketch.deserialize(cell)
        return sorted(theta) if not theta.is_estimation_mode() else (theta.theta, theta.num_retained)
    if kind == "HLLSketch":
        return coupons(cell) or (cell[3], round(ds.hll_sketch.deserialize(cell).get_estimate()))
    quantiles = ds.quantiles_doubles_sketch.deserialize(cell)
    whole = (quantiles.k, quantiles.n, quantiles.get_min_value(), quantiles.get_max_value())
    return whole if quantiles.is_estimation_mode() else (*whole, sorted(value for value, _ in quantiles))


def coupons(cell):
    """Those of an HLL sketch of few; None for one of many."""
    starts = {0: 8, 1: 12}.get(cell[7] & 3)
    if starts is None:
        return None
    return sorted(int.from_bytes(cell[i : i + 4], "little") for i in range(starts, len(cell), 4))


def estimate(kind, cell):
    """How many distinct values, or how many values."""
    if not cell:
        return 0
    if kind == "thetaSketch":
        return ds.compact_theta_sketch.deserialize(cell).get_estimate()
    if kind == "HLLSketch":
        return ds.hll_sketch.deserialize(cell).get_estimate()
    return ds.quantiles_doubles_sketch.deserialize(cell).n
