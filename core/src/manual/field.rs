//! What other systems have, what of it is here, and which test shows it.
//!
//! Six open systems (Svix, Convoy, Outpost, Hook0, WebhookX, adnanh/webhook) and two specifications (Standard Webhooks,
//! the CloudEvents HTTP webhook) were read feature by feature in the summer of 2026. This page goes through what they have
//! that concerns a sender's core, by area, and says of each row what is here. The last column names a test as
//! `file::function`, or a command, or says `no` and why. Where a room of the core has a thing and the sending machine
//! does not use it yet, it says `no (not built yet)` and names the test of the room. A test of `tests/suite` holds that
//! every name on this page is that of a test.
//!
//! # 1.1 Endpoints
//!
//! | row | here | shown by |
//! | --- | --- | --- |
//! | tenant model | an event and an endpoint belong to a tenant; ids are the caller's own and unique within it; quotas | `core/src/registration/sync.rs::other_tenants_are_left_alone`, `tests/suite/tests/corners.rs::a_tenant_that_comes_back_finds_what_it_left`, `core/src/sender/sync.rs::a_tenant_takes_up_no_more_than_it_may` |
//! | create, change, enable | `put` is idempotent by id; pause, resume, disable, remove | `tests/suite/tests/smoke.rs::a_paused_endpoint_holds_and_a_resumed_one_lets_go`, `tests/suite/tests/smoke.rs::a_disabled_endpoint_is_held_for_72_hours`, `tests/suite/tests/smoke.rs::removing_aborts_and_discards` |
//! | a list of endpoints made so | `sync` makes a tenant's endpoints equal to a list, by revision, as a whole or not at all | `core/src/sender/sync.rs::a_list_is_applied_at_once_and_never_an_older_one`, `core/src/sender/sync.rs::nothing_of_a_list_is_applied_that_cannot_be_whole` |
//! | URL validation | https, public hosts, one canonical reading | `core/src/registration/target/tests.rs::each_rule_has_its_own_refusal`, `core/src/registration/target/tests.rs::the_vectors_hold` |
//! | reachability ping | none: that something answers says nothing about whether it agrees, and the first delivery tells | no, on purpose: consent is asked for where it is wished |
//! | consent | CloudEvents' handshake at once and by callback, and a challenge echo | `core/src/sender/consent/tests.rs::a_handshake_lets_what_waits_go`, `core/src/sender/consent/tests.rs::a_callback_works_once_and_after_a_restart`, `core/src/sender/consent/tests.rs::a_challenge_must_come_back`, `core/src/sender/consent/tests.rs::a_status_is_no_consent` |
//! | rate agreed with the receiver | the lower of the granted rate and its own bounds the endpoint | `core/src/sender/consent/tests.rs::what_was_granted_is_kept_to`, `tests/suite/tests/pace.rs::no_more_than_the_rate_starts` |
//! | custom headers | token grammar, bounds, reserved names, secret values without a voice | `core/src/registration/headers.rs::what_frames_routes_or_signs_a_request_is_reserved`, `core/src/registration/headers.rs::a_secret_has_no_voice` |
//! | method | `POST` and nothing else, as both specifications have it | `tests/suite/tests/drivers.rs::the_tokio_driver_stands_its_peers`, `tests/suite/tests/drivers.rs::the_blocking_driver_stands_its_peers` |
//! | endpoint authentication | bearer token and basic credentials; no token is fetched (OAuth 2), since that is a request of its own | `core/src/registration/auth.rs::the_examples_of_the_standards` |
//!
//! # 1.2 Event types
//!
//! | row | here | shown by |
//! | --- | --- | --- |
//! | declared types | none: types are the application's, and a subscription that nothing matches is told by its nearest pattern | no, on purpose; `core/src/matching/index/tests.rs::a_near_miss_is_found_among_many_patterns` |
//! | grammar of names | dotted segments, at most 256 bytes | `core/src/matching/event_type.rs::a_type_is_dotted_segments` |
//! | schemas attached | none | no: a schema says what a payload means, and payloads are opaque bytes here |
//! | validation when published | JSON is checked to be JSON, and nothing beyond | `core/src/encoding/payload.rs::accepted_json_is_json`; schemas: no, the application has its own types |
//!
//! # 1.3 Matching
//!
//! | row | here | shown by |
//! | --- | --- | --- |
//! | by type | exact, one segment, any segments | `core/src/matching/pattern.rs::matches_as_the_grammar_says` |
//! | a second dimension (channels, labels) | a content filter on any field does the same | `core/src/matching/subscription.rs::a_filter_narrows_what_is_wanted` |
//! | filters on content | the language of EventBridge and the dialects of CloudEvents subscriptions, as an endpoint's option | `tests/suite/tests/filters.rs::whoever_is_refused_by_a_filter_is_told_so`, `core/src/matching/filter/tests.rs::every_conformance_case_holds`, `core/src/matching/filter/tests.rs::cloudevents_filters_hold_as_the_specification_says` |
//! | known defects of matchers | a field that is missing does not match, unknown operators are refused, numbers lose nothing | `core/src/matching/filter/tests.rs::numbers_lose_nothing`, `core/src/matching/filter/tests.rs::no_text_panics` |
//! | an index over many subscriptions | by type, and over the fields of filters | `core/src/matching/index/tests.rs::a_hundred_thousand_subscriptions_cost_what_matches`, `core/src/matching/filter/index/tests.rs::it_gives_what_a_scan_gives`, `tests/suite/tests/filters.rs::very_many_filters_may_match` |
//!
//! # 1.4 Encoding
//!
//! | row | here | shown by |
//! | --- | --- | --- |
//! | accepted bodies | any JSON, and any bytes under a content type | `core/src/encoding/payload.rs::json_is_checked_and_kept`, `core/src/encoding/tests.rs::raw_payloads_go_or_are_refused` |
//! | what is signed is what is sent | one body, made once, signed and sent | `tests/suite/tests/encodings.rs::each_endpoint_is_sent_its_own_shape`, `tests/suite/tests/interop.rs::what_the_tokio_driver_signs_is_accepted_by_independent_libraries` |
//! | size | 256 KiB by default, refused when published | `core/src/encoding/tests.rs::depth_and_size_are_bounded` |
//! | content type | each encoding's own, raw payloads their own | `core/src/encoding/tests.rs::each_encoding_as_it_is_documented`, `core/src/encoding/payload.rs::content_types` |
//! | compressed requests | none | no: no receiver can say beforehand that it reads them, and a signature covers the bytes as sent |
//! | CloudEvents | structured, binary and batched | `core/src/encoding/cloudevents/tests.rs::json_gives_back_what_was_put_in`, `core/src/encoding/cloudevents/tests.rs::headers_give_back_what_was_put_in` |
//! | transformations | thin payloads, chosen by JSON Pointers; no code of users | `core/src/encoding/thin.rs::what_is_chosen_stays_as_it_was`; scripts: no, they belong to the application |
//! | many events in one request | the batched form of CloudEvents, of one event | `tests/suite/tests/encodings.rs::each_endpoint_is_sent_its_own_shape`; several in one: no, an attempt has one outcome for one event |
//! | large payloads by reference | a thin payload has the identifiers | `core/src/encoding/tests.rs::a_thin_payload_is_thin_in_every_encoding` |
//!
//! # 1.5 Signing and rotation
//!
//! | row | here | shown by |
//! | --- | --- | --- |
//! | scheme | Standard Webhooks `v1` and `v1a`, GitHub, Stripe, Slack, Shopify, a described HMAC, by endpoint and several at once; 28 are verified | `tests/suite/tests/schemes.rs::each_dialect_is_verified_by_its_scheme`, `tests/suite/tests/schemes.rs::all_dialects_may_sign_side_by_side`, `core/src/signing/tests_dialects.rs::every_dialect_case_passes` |
//! | header names | `webhook-*`, and `svix-*` for receivers that know the older names | `core/src/signing/tests.rs::svix_names_win_only_when_complete_and_only_when_asked_for`, `tests/suite/tests/schemes.rs::each_dialect_is_verified_by_its_scheme` |
//! | the id is signed | always | `core/src/signing/tests.rs::no_bit_can_be_changed` |
//! | secrets | 24 to 64 bytes, minted from the operating system, each mistake named | `core/src/secret.rs::sizes_are_those_of_the_specification_unless_told_otherwise`, `core/src/secret.rs::each_mistake_has_its_own_name` |
//! | rotation with an overlap | up to 10 keys, all that are active sign, expiry is a time and not a number | `core/src/registration/ring/tests.rs::a_rotation_overlaps_and_ends`, `core/src/registration/ring/tests.rs::any_order_of_commands_gives_the_models_active_set` |
//! | encrypted at rest | sealed with XChaCha20-Poly1305 before they are written | `tests/suite/tests/sealed.rs::a_sealed_endpoint_never_leaves_its_secrets_in_the_journal` |
//! | signed anew for each attempt | with the time of the attempt, and the keys that are active then | `tests/suite/tests/corners.rs::no_request_leaves_unsigned_while_keys_are_replaced`, `tests/suite/tests/smoke.rs::an_attempt_is_recorded_with_its_keys_and_where_asked_for_with_its_answer` |
//! | key ids, discovery | a fingerprint names a key; what a receiver says it verified with is counted, so that a rotation can be finished | `core/src/sender/keys.rs::a_rotation_is_finished_when_the_receiver_has_changed_over`, `core/src/registration/rotation.rs::an_old_key_is_retired_when_the_new_one_was_used_long_enough`. Sets of keys over HTTP: no, publishing a file is the application's |
//! | RFC 9421 and `Content-Digest` | hmac-sha256 and ed25519, as an endpoint's choice | `core/src/signing/tests_schemes.rs::message_signatures_must_cover_what_is_demanded`, `tests/suite/tests/schemes.rs::key_pairs_sign_where_they_can` |
//!
//! # 1.6 Transport
//!
//! | row | here | shown by |
//! | --- | --- | --- |
//! | timeout | one deadline over name, connection, TLS, request, head and body, 20 s by default | `adapters/tokio/src/transport/tests.rs::a_dripping_body_ends_at_the_deadline_and_counts`, `adapters/blocking/src/tests/transport.rs::a_drip_does_not_move_the_deadline` |
//! | response body | 16 KiB kept and 64 KiB read; nothing is decompressed | `adapters/tokio/src/transport/tests.rs::a_body_without_end_is_cut_at_the_caps`, `adapters/tokio/src/transport/tests.rs::a_compressed_body_is_kept_as_it_came` |
//! | redirects | never followed | `adapters/tokio/src/transport/tests.rs::a_redirect_is_a_reply_and_nothing_else`, `adapters/blocking/src/tests/transport.rs::a_redirect_is_not_followed` |
//! | HTTP version | 1.1 on both drivers, 2 on tokio where the receiver prefers it; connections are kept | `adapters/tokio/src/transport/tests.rs::http2_over_tls_is_spoken_and_kept`, `adapters/blocking/src/tests/transport.rs::a_connection_is_used_again_after_a_clean_response` |
//! | a second try within an attempt | only when no byte was sent, over a connection that had been closed while idle | `adapters/tokio/src/transport/tests.rs::a_connection_closed_while_idle_costs_no_attempt` |
//! | TLS | 1.2 and 1.3, verification cannot be switched off | `adapters/blocking/src/tests/transport.rs::tls_that_cannot_be_trusted` |
//! | client certificates | none | no (not built): the drivers would have to carry a key for each endpoint |
//! | private addresses | the very address that is dialled is judged, at each attempt; every IPv6 form of an IPv4 address is refused | `core/src/registration/address/tests.rs::every_ipv4_address_is_refused_in_every_ipv6_clothing`, `adapters/tokio/src/tests.rs::a_public_name_that_leads_inside_is_not_dialled`, `adapters/blocking/src/tests/transport.rs::an_address_inside_is_never_dialled` |
//! | forward proxy | a transport of one's own can say that it vets by itself | no in the drivers: through a proxy the address dialled cannot be judged. `clear_by` is the seam |
//! | caching of names | none beyond the operating system's | no, on purpose: each attempt judges what the name means now |
//!
//! # 1.7 Retrying
//!
//! | row | here | shown by |
//! | --- | --- | --- |
//! | default schedule | ten attempts over 75 h 35 min | `core/src/retry/schedule.rs::the_default_is_the_one_agreed` |
//! | jitter | upward only, up to 20 %, a function of what it is for | `core/src/retry/plan.rs::jitter_stays_within_its_bounds`, `core/src/retry/plan.rs::jitter_is_uniform_over_seeds` |
//! | `Retry-After` | on any failing status, a floor, at most 24 h, a date by the receiver's own clock | `core/src/response/tests.rs::retry_after_is_honoured_on_any_failure_and_only_there`, `core/src/response/tests.rs::a_date_counts_from_the_receivers_clock_if_it_tells_it`, `core/src/retry/plan.rs::next_due_is_never_early` |
//! | scope of a schedule | each endpoint has its own | `tests/suite/tests/sandbox.rs::the_last_answer_repeats_and_the_schedule_ends` |
//! | greatest age, expiry of an event | an event may expire, a schedule may have a greatest age, an endpoint a limit on waiting | `tests/suite/tests/laws.rs::l5_nothing_is_early`, `tests/suite/tests/pace.rs::an_age_ends_what_failed_and_what_was_held`, `tests/suite/tests/pace.rs::what_waits_too_long_for_its_endpoint_expires` |
//! | what is sent again by hand is retried | a replay has all attempts of its endpoint's schedule | `core/src/sender/replay/tests.rs::it_is_retried_and_read_back_like_any_other` |
//! | lanes for retries | when there is more than can be done, retries are a fifth of what starts | `tests/suite/tests/pace.rs::retries_are_a_fifth_when_there_is_too_much`, `core/src/retry/budget.rs::retries_get_their_share_and_no_more` |
//!
//! # 1.8 What a response means
//!
//! | row | here | shown by |
//! | --- | --- | --- |
//! | 2xx | delivered, whatever becomes of the body | `core/src/response/tests.rs::vectors_responses`, `adapters/tokio/src/transport/tests.rs::a_cut_body_counts` |
//! | 3xx | a failed attempt, 304 too | `core/src/response/tests.rs::row_redirect` |
//! | 4xx | tried again; under the profile of CloudEvents its client errors are final | `core/src/response/tests.rs::row_client_error`, `core/src/response/tests.rs::row_bad_request` |
//! | 410 | the endpoint is gone, nothing more is sent | `core/src/response/tests.rs::row_gone`, `tests/suite/tests/smoke.rs::a_gone_endpoint_gets_nothing_more` |
//! | 429 | the whole endpoint rests | `core/src/response/tests.rs::row_too_many`, `tests/suite/tests/smoke.rs::a_throttled_endpoint_rests_as_a_whole` |
//! | 502, 503, 504 | as 429 | `core/src/response/tests.rs::row_bad_gateway`, `core/src/response/tests.rs::row_gateway_timeout` |
//! | timeout | tried again, and said in which phase | `core/src/response/tests.rs::without_a_response_only_what_was_denied_or_is_unwanted_is_refused`, `adapters/tokio/src/transport/tests.rs::silence_times_out_while_waiting_for_the_head` |
//! | failures of names, connections and TLS | a closed set of values, no text is compared in the core | `core/src/response/tests.rs::an_error_says_where_whether_and_who`, `core/src/response/tests.rs::the_wire_form_of_an_error_is_total_and_exact` |
//! | address refused | final at once | `core/src/response/tests.rs::without_a_response_only_what_was_denied_or_is_unwanted_is_refused` |
//! | what is never tried again | 410, an address that is refused, a payload without a form; under CloudEvents also its client errors | `tests/suite/tests/encodings.rs::what_an_encoding_cannot_express_is_refused` |
//!
//! # 1.9 Breaker and disabling
//!
//! | row | here | shown by |
//! | --- | --- | --- |
//! | breaker with a half-open state | 70 % of at least 10 in 5 min; 30 s, doubling to 30 min; kept over restarts | `core/src/retry/breaker/tests.rs::seventy_per_cent_of_at_least_ten_are_too_many`, `tests/suite/tests/pace.rs::an_open_breaker_holds_and_one_delivery_is_the_probe`, `tests/suite/tests/pace.rs::pacing_survives_a_restart` |
//! | disabling by itself | 120 h of failures and at least 5 of them, never by time alone | `tests/suite/tests/pace.rs::an_endpoint_that_fails_for_too_long_is_disabled`, `tests/suite/tests/pace.rs::a_success_in_between_is_enough` |
//! | coming back by itself, probes | with a delivery that is queued; then a ramp | `tests/suite/tests/pace.rs::an_open_breaker_holds_and_one_delivery_is_the_probe`, `core/src/retry/window.rs::a_ramp_doubles_until_the_limit_and_then_is_over` |
//! | alerts | notices to the operator; operational events to a tenant's own endpoints | `tests/suite/tests/scale.rs::unread_notices_are_folded`, `tests/suite/tests/operational.rs::a_delivery_that_fails_is_told_of_twice`, `tests/suite/tests/operational.rs::an_endpoint_that_goes_and_comes_is_told_of`, `tests/suite/tests/operational.rs::an_endpoint_whose_breaker_closes_has_recovered`, `tests/suite/tests/operational.rs::each_tenant_has_its_own_wish`, `tests/suite/tests/operational.rs::nothing_is_told_of_what_is_told` |
//!
//! # 1.10 Rate, concurrency, order
//!
//! | row | here | shown by |
//! | --- | --- | --- |
//! | rate of an endpoint | GCRA, empty after a restart | `tests/suite/tests/pace.rs::no_more_than_the_rate_starts`, `tests/suite/tests/pace.rs::a_rate_is_kept_and_empty_after_a_restart`, `core/src/retry/rate.rs::it_is_never_above_the_rate` |
//! | concurrency of an endpoint | 8 by default, halved by a throttle, one more with each success | `core/src/retry/window.rs::a_throttle_halves_and_a_success_adds_one`, `tests/suite/tests/smoke.rs::a_throttled_endpoint_rests_as_a_whole` |
//! | concurrency in all | the credit that the driver gives; bounds for each tenant and each host, and in the drivers for each resolved address | `tests/suite/tests/laws.rs::l4_attempts_keep_to_the_credit`, `tests/suite/tests/pace.rs::a_tenant_and_a_host_have_bounds_on_what_is_in_flight`, `tests/suite/tests/pace.rs::no_more_is_in_flight_than_may_be`, `adapters/tokio/src/tests.rs::many_names_of_one_address_share_its_bound`, `adapters/blocking/src/tests/sender.rs::many_names_of_one_address_share_its_bound` |
//! | order by key | strict, or going on when one is given up; at most one of a key in flight, numbered, and the newest alone where that is asked for | `tests/suite/tests/order.rs::one_of_a_key_at_a_time_and_other_keys_are_not_held_up`, `tests/suite/tests/order.rs::a_failing_head_holds_its_lane_until_it_is_exhausted_or_for_ever`, `tests/suite/tests/order.rs::lanes_are_as_a_naive_reader_expects`, `tests/suite/tests/order.rs::while_an_endpoint_is_down_only_the_newest_of_a_key_is_kept` |
//! | fairness between tenants | deficit round robin over tenants, then endpoints | `tests/suite/tests/pace.rs::tenants_and_endpoints_take_turns`, `tests/suite/tests/pace.rs::an_endpoint_that_hangs_delays_no_other`, `core/src/retry/fair/tests.rs::tenants_then_endpoints` |
//!
//! # 1.11 Repeats
//!
//! | row | here | shown by |
//! | --- | --- | --- |
//! | from producer to sender | the same content gets the first receipt, other content is refused, over restarts too | `tests/suite/tests/window.rs::each_tenant_has_its_own_window`, `core/src/sender/repeats.rs::the_window_and_the_number_both_bound_it`, `adapters/cli/tests/journal.rs::what_was_accepted_is_not_accepted_again` |
//! | from sender to receiver | `webhook-id` is the event's in every attempt | `tests/suite/tests/sandbox.rs::three_failures_and_a_success` |
//! | attempts | one at a time for a delivery; what an acknowledged record says happened is not done again | `tests/suite/tests/laws.rs::l3_nothing_shows_before_it_is_durable`, `tests/suite/tests/crash.rs::nothing_acknowledged_is_lost` |
//!
//! # 1.12 Dead letters and replay
//!
//! | row | here | shown by |
//! | --- | --- | --- |
//! | one delivery once more | replay, under the old id or a fresh one, to that endpoint alone | `tests/suite/tests/replay.rs::one_delivery_once_more`, `core/src/sender/replay/tests.rs::it_survives_restarts` |
//! | many, by a range of time | what is kept for an endpoint, by time and state, counted first or sent, cancelled, and refused past retention | `tests/suite/tests/replay.rs::everything_of_an_endpoint_once_more`, `tests/suite/tests/replay.rs::a_walk_is_paced_and_can_be_cancelled`, `tests/suite/tests/replay.rs::what_is_not_kept_is_refused` |
//! | what cannot be worked on | a payload that cannot be read back ends its delivery as lost, by name | `tests/suite/tests/corners.rs::who_waits_behind_a_lost_payload_goes_on` |
//! | replay with a ramp | the ramp of an endpoint that comes back | `core/src/sender/replay/tests.rs::many_are_paced_by_a_ramp` |
//!
//! # Defects of others
//!
//! Each was found in a system that is in use, by reading or by running it, and is a test here.
//!
//! | defect | here | shown by |
//! | --- | --- | --- |
//! | D1: a body was read outside of the deadline, and the claim on the work ended before | one deadline over everything; the machine ends an attempt by itself only after it | `tests/suite/tests/drivers.rs::d1_a_body_that_drips_ends_at_the_one_deadline`, `tests/suite/tests/smoke.rs::an_attempt_that_nobody_reports_is_overdue` |
//! | D2: the floor after 429 was never reached | a literal table of statuses; the endpoint rests | `tests/suite/tests/defects.rs::d2_a_throttle_holds_the_whole_endpoint` |
//! | D3: a hint was cut to twice the step, and undercut by jitter | a hint is a floor, jitter goes up | `tests/suite/tests/defects.rs::d3_no_attempt_is_earlier_than_the_hint` |
//! | D4: what was committed and not queued was never sent | the log is the queue: a crash at every step, restored | `tests/suite/tests/crash.rs::nothing_acknowledged_is_lost`, `adapters/journal/src/store/tests/crash.rs::a_crash_at_any_operation_loses_nothing_that_was_durable` |
//! | D5: a repeated task sent again to those who had taken it | an outcome is of one delivery | `tests/suite/tests/defects.rs::d5_who_has_taken_an_event_is_not_sent_it_again` |
//! | D6: a rate that was stored and never read | what starts is bounded by it, in any run | `tests/suite/tests/pace.rs::no_more_than_the_rate_starts` |
//! | D7: a filter matched where a field was missing, and panicked | total, with exact numbers | `tests/suite/tests/defects.rs::d7_filters_mean_what_they_say`, `core/src/matching/filter/tests.rs::no_text_panics` |
//! | D8: a bomb went past the cap, redirects took the signature along | nothing is decompressed or followed | `tests/suite/tests/drivers.rs::d8_nothing_is_decompressed_and_no_redirect_is_followed` |
//! | D9: a form was not what was signed, and lost decimals | what is sent is signed; digits are copied | `tests/suite/tests/defects.rs::d9_a_form_is_signed_as_it_is_sent_and_keeps_its_digits`, `core/src/encoding/form/tests.rs::digits_are_kept` |
//! | D12: 304 counted as success, redirects were followed, private addresses dialled | the table, and the policy | `tests/suite/tests/defects.rs::d12_what_is_no_success_is_none_and_no_request_goes_inside` |
//! | D13: a claim of 5 s beside a timeout that could be longer | one attempt of a delivery at a time, however long | `tests/suite/tests/defects.rs::d13_no_second_attempt_beside_the_first` |
//! | D14: an outcome and what followed from it were written apart | one record | `tests/suite/tests/defects.rs::d14_an_outcome_and_what_follows_are_one_record` |
//! | D17: a timestamp from the future was accepted | the tolerance goes both ways, in every scheme | `tests/suite/tests/defects.rs::d17_a_request_from_the_future_is_refused_as_one_from_the_past` |
//! | D18: a transaction was held while somebody else worked | a claim holds itself alone, and ends | `tests/suite/tests/defects.rs::d18_who_is_slow_holds_nobody_else` |
//! | D19: malformed input raised foreign errors, binary could not be signed | one error, and bodies are bytes | `tests/suite/tests/defects.rs::d19_anything_malformed_is_our_error_and_any_bytes_can_be_signed`, `tests/suite/tests/mutations.rs::nothing_that_was_changed_is_accepted` |
//! | D20: 200 to what failed, 500 to a wrong signature, work after the answer | the answer says what became of it, afterwards | `tests/suite/tests/defects.rs::d20_an_answer_says_what_became_of_it` |
