"""The chart's generated files: values, their schema, the rules of its roles, the table in the docs."""
