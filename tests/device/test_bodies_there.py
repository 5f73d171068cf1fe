"""Tests of the CPU, run by simulations and constraints on a device: closed forms, doses, events,
covariates, reductions, gradients, nearest points. Their bodies stand where the CPU's do.
"""

from __future__ import annotations

import ctypes
import importlib
import sys
from collections.abc import Iterator

import pytest
from folders import ROOT
from places import PLACES, on_device

BODIES = {
    "whole/test_exact.py": "test_bolus test_infusion test_multiple_doses_of_both_kinds "
    "test_closed_forms_of_a_population test_steady_state_of_many_doses "
    "test_michaelis_menten_elimination test_error_follows_tolerance_doses "
    "test_absolute_tolerance_of_each_state test_functions_at_their_ends",
    "whole/test_declared_events.py": "test_a_bouncing_ball test_hysteresis "
    "test_rescue_doses_and_the_time_of_the_first test_an_event_at_a_time "
    "test_samples_beside_an_action test_an_infusion_as_an_action",
    "whole/test_state_events.py": "test_a_rate_that_switches_at_a_threshold "
    "test_doses_that_jump_over_a_threshold test_there_and_back_inside_one_step "
    "test_areas_under_an_output_that_jumps test_sliding_ends_soon_and_names_the_condition "
    "test_a_start_on_the_threshold test_extrema_at_a_crossing",
    "whole/test_time_conditions.py": "test_a_short_pulse_is_not_stepped_over "
    "test_weibull_release test_a_scaled_time_and_a_parameter_that_changes",
    "schedule/test_dosing.py": "test_lag test_bioavailability test_modelled_rate "
    "test_modelled_duration test_rules_and_doses_that_differ_between_patients "
    "test_repeated_doses_are_single_doses test_a_reset_brings_the_initial_values_back "
    "test_a_reset_drops_doses_of_lines_before_it_and_ends_infusions "
    "test_a_sample_at_a_reset_sees_it_or_not test_a_regimen_a_list_and_a_table_are_the_same",
    "schedule/test_dosing_derivatives.py": "test_jacobian_is_that_of_the_closed_form "
    "test_gradient_is_that_of_the_closed_form test_gradients_have_the_same_bits_alone "
    "test_no_derivative_by_a_modelled_duration_of_zero",
    "derivatives/test_differentiate.py": "model asked test_weights test_jacobian "
    "test_jvp_and_its_adjoint "
    "test_an_event_exactly_on_a_sample_is_differentiated_from_the_side_that_is_seen "
    "test_doses_of_nothing_have_derivatives_by_their_amounts",
    "schedule/test_covariates.py": "test_a_clearance_that_changes "
    "test_a_patient_alone_has_the_same_bits test_rules_of_doses_take_the_value_at_the_record "
    "test_a_failure_is_told_where_a_parameter_changes",
    "schedule/test_record_times.py": "test_a_patient_without_samples_and_one_that_fails "
    "test_records_of_one_time_count_in_their_order",
    "simulation/test_reductions.py": "test_closed_forms test_extrema_lie_between_samples_too "
    "test_the_first_of_equal_maxima "
    "test_a_dose_at_the_start_is_in_a_window_and_one_at_its_end_is_not "
    "test_the_end_of_an_infusion test_a_reset_takes_nothing_from_an_area "
    "test_windows_and_thresholds_of_each_patient test_a_reset_in_an_area_has_its_derivatives "
    "test_gradients_against_differences test_backward_is_forward_transposed "
    "test_a_failure_leaves_no_number_of_a_window_that_it_cuts_short",
    "constraints/test_constraints.py": "test_violations test_what_is_no_number_is_a_violation "
    "test_onto_a_plane test_onto_a_box test_onto_a_circle "
    "test_infeasible_sets_are_named_by_their_members test_perturbed_adults_become_valid",
    "constraints/test_nearest.py": "test_the_corner_of_three_lines "
    "test_a_circle_from_its_centre_and_from_afar test_from_where_a_constraint_is_no_number "
    "test_not_found_is_data_alone_and_among_others test_contradictions_are_proven",
}
for file, names in BODIES.items():
    path = ROOT / "tests" / file
    if str(path.parent) not in sys.path:  # as pytest does for the file itself
        sys.path.insert(0, str(path.parent))
    module = importlib.import_module(path.stem)
    for name in (
        names.split()
    ):  # tests and their fixtures; of several files one name may be that of one test alone
        assert name not in globals(), name
        globals()[name] = getattr(module, name)


@pytest.fixture(autouse=True, params=PLACES)
def place(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, library: ctypes.CDLL
) -> Iterator[None]:
    calls = on_device(request.param, monkeypatch, library)
    yield
    assert calls["there"], "nothing went to the device"
