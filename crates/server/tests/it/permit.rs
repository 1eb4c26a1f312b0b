//! What belongs to a principal: its prefix, and how much it may have.

use crate::access::{device, expect_end, get, known, open, register, server};

#[tokio::test]
async fn each_host_has_its_own_cvd_1_where_its_token_has_a_prefix() {
    let host = |number, lab: &str| known(number, &format!("name={lab} role=device devices={lab}/* prefix={lab}/"));
    let (one, two, viewer) = (host(1, "lab7"), host(2, "lab8"), known(3, "name=v role=client devices=*"));
    // Its prefix leads to no device that it may speak for.
    let astray = known(4, "name=astray role=device devices=cvd-1 prefix=x/");
    let server = server(&[&one, &two, &viewer, &astray]);
    let _devices = [device(&server, &one, "cvd-1").await, device(&server, &two, "cvd-1").await];
    let list = get(&server, "/devices", &viewer).await.text();
    assert!(list.contains(r#""device_id":"lab7/cvd-1""#) && list.contains(r#""device_id":"lab8/cvd-1""#), "{list}");
    let _viewing = crate::access::client(&server, &viewer, "lab7/cvd-1").await;
    // To ask for the whole id is to ask for another.
    let _nested = device(&server, &one, "lab7/cvd-1").await;
    assert!(get(&server, "/devices", &viewer).await.text().contains("lab7/lab7/cvd-1"));
    let mut refused = open(&server, "/register_device", &astray).await.expect("upgraded");
    refused.send_text(register("cvd-1")).await.expect("sent");
    let error = r#"{"error":"Device id already taken: cvd-1","cuttlebone_code":"device_id_taken"}"#;
    expect_end(&mut refused, error, 1008).await;
}
