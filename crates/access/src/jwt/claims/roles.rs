//! Which roles the claims give.

use serde_json::Value;

use super::super::issuer::{IssuerSettings, ROLES};
use super::{Claims, claim, strings};
use crate::denied::Denied;
use crate::role::{Role, Roles};

/// A string of an array is one name: the group "all but lab-admins" is not `lab-admins`. So is a string by itself, which the
/// holder of the account may have chosen, if the claim is not made of words.
pub(super) fn roles(claims: &Claims, rules: &IssuerSettings) -> Result<Roles, Denied> {
    let is_list = matches!(claim(claims, &rules.roles_claim), Some(Value::Array(_)));
    let separators: &[char] = match rules.roles_claim.as_str() {
        ROLES if !is_list => &[' ', ','],
        "scope" | "scp" if !is_list => &[' '],
        _ => &[],
    };
    let names = strings(claims, &rules.roles_claim)?.unwrap_or_default();
    let names = names.iter().flat_map(|name| name.split(separators));
    if rules.role_names.is_empty() {
        return Ok(names.filter_map(|name| name.parse::<Role>().ok()).collect());
    }
    Ok(names.filter_map(|name| rules.role_names.get(name)).flat_map(|roles| roles.iter()).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Of an issuer that has these names for roles; with none, ours.
    fn rules(claim: &str, names: &[(&str, Role)]) -> IssuerSettings {
        let role_names = names.iter().map(|(name, role)| ((*name).to_owned(), Roles::NONE.with(*role))).collect();
        IssuerSettings { roles_claim: claim.into(), role_names, ..IssuerSettings::new("https://idp.example") }
    }

    /// The roles of who has this in the claim of the rules, or anywhere below it.
    fn given(rules: &IssuerSettings, value: &Value) -> Result<String, Denied> {
        let claims = json!({&rules.roles_claim: value, "realm": {"roles": value}});
        roles(claims.as_object().expect("an object"), rules).map(|roles| roles.to_string())
    }

    #[test]
    fn roles_are_those_that_are_known() {
        for (value, expected) in [
            (json!("client"), Ok("client")),
            (json!("openid client,device"), Ok("device,client")),
            (json!(["offline_access", "observer"]), Ok("observer")),
            (json!(["observer admin"]), Ok("")),
            (json!("Client root"), Ok("")),
            (json!([]), Ok("")),
            (json!(null), Ok("")),
            (json!([["client"]]), Err(Denied::Claims)),
            (json!({"client": true}), Err(Denied::Claims)),
        ] {
            assert_eq!(given(&rules(ROLES, &[]), &value), expected.map(str::to_owned), "{value}");
        }
    }

    #[test]
    fn names_that_stand_for_roles_are_the_only_ones_that_count() {
        let names = [("lab-admins", Role::Admin), ("lab users", Role::Client), ("lab-users", Role::Client)];
        for (value, expected) in [
            (json!(["lab-admins", "other"]), "admin"),
            (json!(["lab users", "lab-admins"]), "client,admin"),
            (json!("x lab-admins,lab-users"), "client,admin"),
            (json!(["all but lab-admins"]), ""),
            (json!(["x,lab-admins", "lab-users,"]), ""),
            (json!(["Lab-Admins"]), ""),
            (json!(["admin", "client"]), ""),
            (json!("admin"), ""),
        ] {
            assert_eq!(given(&rules(ROLES, &names), &value).as_deref(), Ok(expected), "{value}");
        }
    }

    /// Elsewhere it may be the holder of the account who wrote it: an address of e-mail, the name of a group.
    #[test]
    fn only_a_claim_of_words_has_several_names_in_a_string() {
        for (claim, value, expected) in [
            (ROLES, json!("client, admin"), "client,admin"),
            ("scope", json!("openid client admin"), "client,admin"),
            ("scp", json!("client"), "client"),
            ("scope", json!("openid,admin"), ""),
            ("email", json!("\"eve admin x\"@evil.example"), ""),
            ("email", json!("\"eve,admin,x\"@evil.example"), ""),
            ("groups", json!("friends of admin"), ""),
            ("groups", json!("admin"), "admin"),
            ("/realm/roles", json!("not admin"), ""),
            (ROLES, json!(["no admin"]), ""),
            ("scope", json!(["no admin"]), ""),
            ("groups", json!(["no admin", "client"]), "client"),
        ] {
            for names in [&[][..], &[("client", Role::Client), ("admin", Role::Admin)]] {
                assert_eq!(given(&rules(claim, names), &value).as_deref(), Ok(expected), "{claim} {value}");
            }
        }
    }
}
