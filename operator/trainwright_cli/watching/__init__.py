"""The full screen of `trainwright watch`: all runs in a table, or everything about one.

`poller` asks the cluster in a thread of its own and hands over snapshots (`snapshot`); `keys` and
`state` turn what is pressed into the next state; `table_screen`, `run_screen` and `overlays` turn a
state into lines; `frame` puts them between header and footer; `terminal` owns the screen and `session`
ties all of it together. Everything but the poller, the terminal and the session is pure.
"""
