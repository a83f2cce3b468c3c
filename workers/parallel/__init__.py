"""An ingestion by several tasks: a parent that splits the input, sub-tasks, and what they hand to each other.

`parent` is the parent's work, `phase` one round of sub-tasks, `handing` what is under which key of the exchange;
what sub-tasks do is in `workers.tasks.sub_tasks`.
"""
