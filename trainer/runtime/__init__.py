"""How a training run is carried out: its folder, state, time budget, settings, processes and signals."""
