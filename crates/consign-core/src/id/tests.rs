use super::*;

#[test]
fn an_id_reads_back_and_sorts_by_time() {
    let first = EventId::new(Timestamp::from_millis(1_000));
    let second = EventId::new(Timestamp::from_millis(2_000));
    assert!(first.to_string() < second.to_string());
    assert!(first < second);
    assert_eq!(first.to_string().len(), 30);
    assert_eq!(first.to_string().parse(), Ok(first));
}

#[test]
fn other_texts_are_refused() {
    let id = EventId::new(Timestamp::from_millis(1_000)).to_string();
    assert_eq!(id.replace("evt_", "dlv_").parse::<EventId>(), Err(NotAnId("evt_")));
    assert_eq!(id.to_lowercase().parse::<EventId>(), Err(NotAnId("evt_")));
    assert_eq!("evt_".parse::<EventId>(), Err(NotAnId("evt_")));
    assert_eq!("evt_8ZZZZZZZZZZZZZZZZZZZZZZZZZ".parse::<EventId>(), Err(NotAnId("evt_")));
}

#[test]
fn an_id_of_any_kind_is_told_from_a_name() {
    let now = Timestamp::from_millis(1_000);
    let ids = [
        CredentialId::new(now).to_string(),
        OperationId::new(now).to_string(),
        AuditId::new(now).to_string(),
    ];
    assert!(ids.iter().all(|id| is_id(id)), "{ids:?}");
    for name in ["", "op_", "Ana_Silva", "abc_01JD3K0000000000000000000Z", "ana_is_a_name_of_thirty_letters"]
    {
        assert!(!is_id(name), "{name}");
    }
}
