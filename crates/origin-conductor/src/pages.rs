//! The pages of the documentation: their Rust examples are tests of this crate.

#[doc = include_str!("../../../README.md")]
struct Readme;

#[doc = include_str!("../../../docs/guide/cancel-and-revive.md")]
struct GuideCancelAndRevive;

#[doc = include_str!("../../../docs/guide/embedding.md")]
struct GuideEmbedding;

#[doc = include_str!("../../../docs/guide/fan-out-and-join.md")]
struct GuideFanOutAndJoin;

#[doc = include_str!("../../../docs/guide/handlers.md")]
struct GuideHandlers;

#[doc = include_str!("../../../docs/guide/operations.md")]
struct GuideOperations;

#[doc = include_str!("../../../docs/guide/policies.md")]
struct GuidePolicies;

#[doc = include_str!("../../../docs/guide/quick-start.md")]
struct GuideQuickStart;

#[doc = include_str!("../../../docs/guide/retries-and-timeouts.md")]
struct GuideRetriesAndTimeouts;

#[doc = include_str!("../../../docs/guide/testing.md")]
struct GuideTesting;

#[doc = include_str!("../../../docs/guide/watching.md")]
struct GuideWatching;

#[doc = include_str!("../../../docs/reference/submission-json.md")]
struct ReferenceSubmissionJson;
