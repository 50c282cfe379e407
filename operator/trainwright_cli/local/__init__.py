"""Training on this machine: `trainwright run --local`.

folders    where everything of a run lies below --work-dir
devices    what this machine has, and how many processes use it
limits     what a container leaves of it
preparing  manifest -> resolved run for this machine
locking    no two trainings of one run at a time
trainer    the trainer's process: start, ask for progress, stop, read its end
session    from start to end, with the display
"""
