"""The planner: what a run needs and how it is laid out, decided before a device is touched.

Used by the operator (status.plan), the CLI (`trainwright plan`) and the trainer's preflight. Pure
and quick: it imports only the API, reads no files and knows no framework; what it knows of models
are constants that tests hold against transformers itself.
"""
