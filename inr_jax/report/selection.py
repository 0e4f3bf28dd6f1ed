"""What represents a study: the axes to draw scores against, the lines along an axis, and the members to show."""

from typing import Any

import numpy as np
import pandas as pd

from inr_jax.report.summary import REPLICATES, best_member, compared_settings, criterion, group_by

# A surface needs at least this many values along each of its axes, a curve fewer.
MIN_SURFACE_VALUES, MIN_CURVE_VALUES = 5, 3


def main_axis(table: pd.DataFrame) -> str | None:
    """Return the numeric setting to draw scores against: the scale if it varies, else the one with most values.

    None if there is none, and if the members have labels: these are a list to compare, not points of a curve.
    """
    if "label" in table:
        return None
    counts = {name: table[name].nunique() for name in compared_settings(table) if _is_number(table[name])}
    enough = {name: count for name, count in counts.items() if count >= MIN_CURVE_VALUES}
    return "scale" if "scale" in enough else max(enough, key=lambda name: enough[name], default=None)


def surface_axes(table: pd.DataFrame) -> tuple[str, str] | None:
    """Return the two numeric settings that span a surface, if only these vary, with enough values each."""
    if "label" in table:
        return None
    names = compared_settings(table)
    wide = [name for name in names if _is_number(table[name]) and table[name].nunique() >= MIN_SURFACE_VALUES]
    return (wide[0], wide[1]) if len(names) == len(wide) == 2 else None


def frequency_setting(table: pd.DataFrame) -> str | None:
    """Return the setting by which members get random frequencies in different ways, if there is one."""
    random = table[table["scale"].notna() & table["rms_frequency"].notna()]
    return next((name for name in ("family", "learn_frequencies") if random[name].nunique() > 1), None)


def lines_along(table: pd.DataFrame, axis: str) -> tuple[list[str], list[pd.DataFrame]]:
    """Return the settings besides the axis, and the members of each line, the best line first."""
    others, score = [name for name in compared_settings(table) if name != axis], criterion(table)

    def highest(members: pd.DataFrame) -> float:
        means = members[members["status"] == "ok"].groupby(axis)[score].mean()
        return np.nan_to_num(means.max(), nan=-np.inf)

    lines = [members for _, members in group_by(table[table[axis].notna()], others)]
    return others, sorted(lines, key=lambda members: -highest(members))


def representative_rows(table: pd.DataFrame, most: int) -> list[int]:
    """Return at most this many rows that show what a study found: points of its best curve, or else its settings.

    Of a curve these are the lowest, the best, the highest, and points spread evenly between.
    """
    good = table[table["status"] == "ok"]
    if good.empty:
        return []
    axis, best = main_axis(good), best_member(table)
    if axis is None or best is None:
        names = [*compared_settings(table), *(name for name in ("label",) if name in good)]
        return (good.drop_duplicates(names) if names else good).index.tolist()[: most if names else 1]
    curve = best_curve(good, axis, best)
    even = np.linspace(0, len(curve) - 1, most - 1).round().astype(int)
    return curve.index[np.unique([*even, curve.index.get_loc(best)])].tolist()


def best_curve(good: pd.DataFrame, axis: str, best: int) -> pd.DataFrame:
    """Return the members that differ from the best one only along the axis, in its order."""
    winner = good.loc[best]
    names = [name for name in (*compared_settings(good), *REPLICATES) if name != axis]
    same = [(good[name] == winner[name]) | (good[name].isna() & pd.isna(winner[name])) for name in names]
    return good[np.all(same, axis=0)].sort_values(axis)


def setting_rows(table: pd.DataFrame, most: int) -> list[int]:
    """Return a row for each setting, or if there are more than this many, those that represent them."""
    good, names = table[table["status"] == "ok"], compared_settings(table)
    rows = good.drop_duplicates(names) if names else good[:1]
    return rows.index.tolist() if len(rows) <= most else representative_rows(table, most)


def _is_number(column: pd.Series) -> Any:
    return pd.api.types.is_numeric_dtype(column) and not column.isna().all()
