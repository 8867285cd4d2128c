//! Answers of the tests' API server.

use std::collections::BTreeMap;

use serde_json::json;

use super::State;

/// A resource's path and the kind of its lists.
pub(super) const RESOURCES: [(&str, &str); 5] = [
    ("/api/v1/nodes", "NodeList"),
    ("/api/v1/pods", "PodList"),
    ("/api/v1/services", "ServiceList"),
    ("/apis/discovery.k8s.io/v1/endpointslices", "EndpointSliceList"),
    ("/apis/discovery.k8s.io/v1beta1/endpointslices", "EndpointSliceList"),
];

pub(super) struct Request {
    pub(super) path: String,
    pub(super) parameters: BTreeMap<String, String>,
    pub(super) token: Option<String>,
}

impl State {
    /// `None`: a watch is opened.
    pub(super) fn answer(&mut self, request: &Request) -> Option<(u16, String)> {
        let path = request.path.as_str();
        if request.token.as_deref() != Some(&self.token) {
            return Some((401, status(401, "Unauthorized", "Unauthorized")));
        }
        let Some((_, kind)) = RESOURCES.iter().find(|(known, _)| *known == path && Some(*known) != self.unknown) else {
            return Some((404, "404 page not found\n".into()));
        };
        if self.forbidden == Some(path) {
            let what = path.rsplit('/').next().expect("a name");
            let message = format!(
                "{what} is forbidden: User \"system:serviceaccount:weir:weir\" cannot list resource \"{what}\" \
                 in API group \"\" at the cluster scope"
            );
            return Some((403, status(403, "Forbidden", &message)));
        }
        let number = |name: &str| request.parameters.get(name).map(|text| text.parse::<usize>().expect("a number"));
        if request.parameters.get("watch").is_some_and(|watch| watch == "true") {
            return None;
        }
        if let Some(nonsense) = self.nonsense {
            return Some((200, nonsense.into()));
        }
        let start = number("continue").unwrap_or(0);
        if start > 0 && std::mem::take(&mut self.expire_continue) {
            let message = "The provided continue parameter is too old to display a consistent list result.";
            return Some((410, status(410, "Expired", message)));
        }
        let of_path = |key: &str| resource(key) == resource(path);
        let all = self.objects.iter().filter(|((of, _), _)| of_path(of)).map(|(_, text)| text.as_str());
        let limit = number("limit").unwrap_or(usize::MAX);
        let mut rest = all.skip(start).peekable();
        let page: Vec<_> = rest.by_ref().take(limit).collect();
        let mut meta = json!({"resourceVersion": self.version.to_string()});
        if rest.peek().is_some() {
            meta["continue"] = (start + limit).to_string().into();
        }
        // Go writes an empty list as null.
        let items = if page.is_empty() { "null".to_owned() } else { format!("[{}]", page.join(",")) };
        let api = if path.contains("discovery") { "discovery.k8s.io/v1" } else { "v1" };
        Some((200, format!("{{\"kind\":\"{kind}\",\"apiVersion\":\"{api}\",\"metadata\":{meta},\"items\":{items}}}\n")))
    }
}

/// Both versions of slices are the same objects.
pub(super) fn resource(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

pub(super) fn status(code: u16, reason: &str, message: &str) -> String {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code,
    })
    .to_string()
}
