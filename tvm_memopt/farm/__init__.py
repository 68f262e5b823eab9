"""Many jobs of the command on a Dask cluster: tables of models, devices and budgets, and sweeps."""
