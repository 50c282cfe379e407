"""The operator: turns runs into PyTorchJobs and keeps their status true.

    events -> world (what is) -> decide (pure) -> build (pure) -> cluster (writes) -> status, events

`handlers` feeds the world from kopf's watches, `reconcile` runs one worker per run, `sweep` collects
progress from the trainers. Only `handlers` and `__main__` know kopf, only `cluster` the API server.
"""
