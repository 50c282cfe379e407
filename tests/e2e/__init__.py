"""The whole product on a real cluster: one for all tests here, with the chart installed once."""
