"""Changes: the interventions, by what they act on."""
