"""Learning models on the solver: `teorell train NAME`, `teorell evaluate CHECKPOINT`.

A learner says what is learned (`learner.py`); one trainer runs them all (`trainer.py`). Needs the
extra: pip install 'teorell[learn]'. Nothing heavy is imported before a learner is asked for.
"""
