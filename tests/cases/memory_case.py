"""Work in a process of its own whose memory is limited once its model is compiled."""

KINDS = ("solve", "gradient", "jacobian", "projection", "fit")

# Arguments: the kind, and how many MB are left.
CHILD = """
import resource, sys
import numpy as np, teorell as tl
m = tl.Model("m")
k, = m.parameters(k=1.0)
x, y = m.states("x", "y")
m.flow(x, y, k * x)
m.flow(y, None, 0.5 * k * y)
m.output("o", y)
c = tl.ConstraintSet("c")
a, b = c.quantities("a", "b")
c.at_least("low", a * b, 1.0)
times, doses = np.linspace(0.0, 24.0, 2000), tl.Regimen.bolus(1.0, "x", every=12.0, doses=2)
rows = np.linspace(0.1, 2.0, 6)
table = tl.EventTable(dict(
    ID=[1] * 7, TIME=[0.0, *rows], AMT=[1.0] + [0.0] * 6, EVID=[1] + [0] * 6,
    DV=[0.0, *(np.exp(-rows) * 0.9)]), m)
p = lambda n: {"k": np.linspace(0.5, 2.0, n)}
def loss(values, patients):
    return values.sum(axis=(1, 2)), np.ones_like(values)
work = {
    "solve": lambda n: tl.simulate(m, p(4 * n), doses, times, threads=2),
    "gradient": lambda n: tl.value_and_grad(
        loss, m, p(n), doses, times, by_patient=True, threads=2),
    "jacobian": lambda n: tl.jacobian(m, p(n), doses, times, wrt=["k"], threads=2),
    "projection": lambda n: c.project(
        {"a": np.linspace(0.1, 2.0, 500 * n), "b": np.ones(500 * n)}),
    "fit": lambda n: tl.fit(m, table, {"k": 1.0}, output="o"),
}[sys.argv[1]]
work(4)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + int(float(sys.argv[2]) * 1e6),) * 2)
try:
    work(1000)
    print("done")
except MemoryError:
    print("MemoryError")
"""
