//! The matrix of roles, written out: what each may do, and nothing else.

use super::*;

/// A right, and the roles that hold it, in the order of [`Role::ALL`].
const MATRIX: &[(Right, [bool; 5])] = &[
    (Right::CredentialsRead, [true, true, true, true, true]),
    (Right::ConnectorsRead, [true, true, true, true, true]),
    (Right::EventsRead, [true, true, true, true, true]),
    (Right::DeliveriesRead, [true, true, true, true, true]),
    (Right::CredentialsWrite, [true, true, false, false, false]),
    (Right::CredentialsTest, [true, true, true, false, false]),
    (Right::ConnectorsWrite, [true, true, false, false, false]),
    (Right::DeliveriesOperate, [true, true, true, false, false]),
    (Right::PayloadsRead, [true, true, true, false, false]),
    (Right::GatewayCall, [true, true, false, false, false]),
    (Right::AuditRead, [true, false, false, true, false]),
    (Right::EventsWrite, [true, false, false, false, false]),
    (Right::Admin, [true, false, false, false, false]),
];

#[test]
fn each_role_holds_the_rights_of_the_matrix_and_no_other() {
    for right in Right::ALL {
        let (_, held) =
            MATRIX.iter().find(|(known, _)| known == right).expect("every right is in the matrix");
        for (role, held) in Role::ALL.iter().zip(held) {
            assert_eq!(role.rights().allow(*right), *held, "{} {}", role.kind(), right.kind());
        }
    }
}

#[test]
fn the_least_role_of_a_right_is_named() {
    for (right, role) in [
        (Right::CredentialsRead, Role::Viewer),
        (Right::AuditRead, Role::Auditor),
        (Right::PayloadsRead, Role::Operator),
        (Right::CredentialsWrite, Role::CredentialManager),
        (Right::Admin, Role::Administrator),
        (Right::EventsWrite, Role::Administrator),
    ] {
        assert_eq!(Role::least_with(right), role, "{}", right.kind());
    }
}

#[test]
fn words_are_read_back_and_others_are_no_role() {
    for role in Role::ALL {
        assert_eq!(Role::find(role.kind()), Some(*role));
    }
    assert_eq!(Role::find("Administrator"), None);
    assert_eq!(Role::find(""), None);
}
