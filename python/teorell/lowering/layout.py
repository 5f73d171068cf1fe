"""Where each slot of a workspace lies.

The regions and their order are those of docs/programs.md, which every executor follows. What the
programs of a step address lies about region scalar, at distances from it that depend on these
programs alone: before it their coefficients and infusion rates, behind it what their states and
factors need, and scratch. So models that differ in outputs, parameters or constants alone share the
machine code of a step.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Layout"]


@dataclass(frozen=True)
class Layout:
    """Where everything lies in a workspace: the first slot of every region, in their order.

    After them the sizes, and two single slots.
    """

    const: int
    coef: int
    scalar: int
    y: int
    f: int
    lu: int
    yn: int
    ynew: int
    top: int
    atol: int
    u: int
    ft: int
    temp: int
    out: int
    params: int
    block: int
    ukept: int
    ubar: int
    lam: int
    ynbar: int
    coefbar: int
    paramsbar: int
    outbar: int
    ysbar: int
    outcoef: int
    z: int
    ydot: int
    yndot: int
    udot: int
    coefdot: int
    paramsdot: int
    outdot: int
    entries: int
    entries_ft: int
    g: int
    gnodes: int
    grate: int
    gtol: int
    band: int
    gside: int
    gf: int
    gbar: int
    gybar: int
    gcoefbar: int
    gdot: int
    when: int
    was: int
    act: int
    actrate: int
    actbar: int
    aybar: int
    acoefbar: int
    actdot: int
    scratch: int
    slots: int
    n_const: int
    n_coef: int
    n: int
    n_lu: int
    n_ft: int
    n_out: int
    n_params: int
    n_switches: int  # those of time, then the sides of surfaces
    n_surfaces: int
    n_events: int
    n_actions: int
    n_temp: int
    n_scratch: int
    stages: int
    one: int  # slot that holds 1.0
    rates: int  # slot of the first infusion rate: the last of the coefficients

    def coefficient(self, position: int) -> int:
        """Where in region coef, or in one of its cotangents or tangents, the coefficient lies that
        was numbered `position`: those that a step reads have the lowest numbers, and come last.
        """
        return self.rates - self.coef - 1 - position

    @classmethod
    def of(
        cls,
        *,
        n_const: int,
        n_coef: int,
        n: int,
        n_lu: int,
        n_ft: int,
        n_out: int,
        n_params: int,
        n_switches: int,
        n_temp: int,
        stages: int,
        one: int,
        n_infused: int,
        derivatives: str | None = None,
        n_entries: int = 0,
        n_columns: int = 0,
        n_output_states: int = 0,
        n_outcoef: int = 0,
        n_surfaces: int = 0,
        n_events: int = 0,
        n_actions: int = 0,
        n_scratch: int = 0,
    ) -> Layout:
        """Regions one after the other; those of derivatives are empty unless they are asked for."""
        vjp, jvp = int(derivatives == "vjp"), int(derivatives == "jvp")
        sizes = {
            "const": n_const,
            "coef": n_coef,
            "scalar": 12,
            "y": n,
            "f": n,
            "lu": n_lu,
            "yn": n,
            "ynew": n,
            "top": n,
            "atol": n,
            "u": stages * n,
            "ft": n_ft,
            "temp": n_temp,
            "out": n_out,
            "params": n_params + n_switches,
            "block": vjp * 3 * n * stages,
            "ukept": vjp * stages * n_columns,
            "ubar": vjp * 3 * n_output_states,
            "lam": vjp * n,
            "ynbar": vjp * n,
            "coefbar": vjp * n_coef,
            "paramsbar": vjp * (n_params + n_switches),
            "outbar": vjp * n_out,
            "ysbar": vjp * n,
            "outcoef": n_outcoef,
            "z": jvp * n,
            "ydot": jvp * n,
            "yndot": jvp * n,
            "udot": jvp * n * stages,
            "coefdot": jvp * n_coef,
            "paramsdot": jvp * (n_params + n_switches),
            "outdot": jvp * n_out,
            "entries": n_entries,
            "entries_ft": (vjp + jvp) * n_ft,
            "g": n_surfaces,
            "gnodes": 5 * n_surfaces,
            "grate": n_surfaces,
            "gtol": n_surfaces,
            "band": n_surfaces,
            "gside": n_surfaces,
            "gf": n * (n_surfaces > 0),
            "gbar": vjp * n_surfaces,
            "gybar": vjp * n * (n_surfaces > 0),
            "gcoefbar": vjp * n_coef * (n_surfaces > 0),
            "gdot": jvp * n_surfaces,
            "when": n_events,
            "was": n_events,
            "act": n_actions,
            "actrate": n_actions,
            "actbar": vjp * n_actions,
            "aybar": vjp * n * (n_actions > 0),
            "acoefbar": vjp * n_coef * (n_actions > 0),
            "actdot": jvp * n_actions,
            "scratch": n_scratch,
        }
        starts, slots = {}, 0
        for region, size in sizes.items():
            starts[region] = slots
            slots += size
        return cls(
            **starts,
            slots=slots,
            n_const=n_const,
            n_coef=n_coef,
            n=n,
            n_lu=n_lu,
            n_ft=n_ft,
            n_out=n_out,
            n_params=n_params,
            n_switches=n_switches,
            n_surfaces=n_surfaces,
            n_events=n_events,
            n_actions=n_actions,
            n_temp=n_temp,
            n_scratch=n_scratch,
            stages=stages,
            one=one,
            rates=n_const + n_coef - n_infused,
        )
