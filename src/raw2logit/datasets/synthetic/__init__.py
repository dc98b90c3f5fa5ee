"""Generated data sets in the published layout, made by simulating scene, optics and sensor."""
