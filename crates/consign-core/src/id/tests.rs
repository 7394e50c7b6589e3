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
