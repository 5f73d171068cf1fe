"""What happens to a patient, and when: doses, covariates, samples, event tables, and the timeline
that the core reads.
"""
