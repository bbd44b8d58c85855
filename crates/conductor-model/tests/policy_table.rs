//! The table of what follows by policy is what `decide` says, cell by cell.

use conductor_model::{
    ChildCounts, Decision, JoinStatus, NodeStatus, POLICY_COLUMNS, POLICY_ROWS, ParentStatus, State,
    policy_table,
};

#[test]
fn each_cell_is_what_is_decided_without_a_join_and_with_one() {
    for row in POLICY_ROWS {
        let mut numbers = ChildCounts::sealed(u32::try_from(row.children.len()).unwrap());
        for (shape, state) in row.children {
            numbers.apply(None, NodeStatus { node_type: *shape, state: *state, retry_due: false });
        }
        for ((policy, name), end) in POLICY_COLUMNS.into_iter().zip(row.ends) {
            let decided = |joining| {
                ParentStatus { counts: numbers, policy, cancel_cause: None, join: joining }.decide()
            };
            assert_eq!(decided(JoinStatus::None), Decision::Settle(end), "{name}: {:?}", row.children);
            let with_a_join =
                if end == State::Succeeded { Decision::StartJoin } else { Decision::Settle(end) };
            assert_eq!(decided(JoinStatus::NotStarted), with_a_join, "{name}: {:?}", row.children);
        }
    }
}

#[test]
fn the_table_has_two_lines_for_each_row() {
    let table = policy_table();
    assert_eq!(table.lines().count(), 2 + 2 * POLICY_ROWS.len());
    let columns = table.lines().map(|line| line.matches('|').count());
    assert!(columns.clone().all(|count| count == 4 + POLICY_COLUMNS.len()), "{table}");
    assert!(table.contains("| no children | – | with | its join's end |"), "{table}");
}
