//! An answer of `/metrics`, taken apart.

use std::collections::{BTreeMap, BTreeSet};

use crate::bed::Daemon;

/// What one scrape told.
pub struct Exposition {
    pub text: String,
    /// The type of each family, by the family's name.
    pub types: BTreeMap<String, String>,
    pub samples: Vec<Sample>,
}

/// One line of it.
pub struct Sample {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

impl Exposition {
    pub async fn scrape(daemon: &Daemon) -> Self {
        let answer = daemon.client().get("/metrics").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        Self::parse(answer.text())
    }

    pub fn parse(text: &str) -> Self {
        let words = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let types = words.map(|line| line.split_once(' ').expect("a type")).map(|(a, b)| (a.to_owned(), b.to_owned()));
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        Self { text: text.to_owned(), types: types.collect(), samples: lines.map(sample).collect() }
    }

    /// The value of the only sample of that name with these labels among others.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.find(name, labels).unwrap_or_else(|| panic!("no {name} {labels:?} in\n{}", self.text))
    }

    pub fn find(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let has =
            |sample: &&Sample| labels.iter().all(|(name, value)| sample.labels.get(*name).is_some_and(|v| v == value));
        let mut found = self.samples.iter().filter(|sample| sample.name == name).filter(has);
        let value = found.next().map(|sample| sample.value);
        assert!(found.next().is_none(), "several {name} {labels:?} in\n{}", self.text);
        value
    }

    /// The names of all samples.
    pub fn names(&self) -> BTreeSet<&str> {
        self.samples.iter().map(|sample| sample.name.as_str()).collect()
    }

    /// Each metric as one asks for it, with its type and its labels.
    pub fn metrics(&self) -> BTreeMap<String, (String, BTreeSet<String>)> {
        let of = |(family, kind): (&String, &String)| {
            let name = match kind.as_str() {
                "counter" => format!("{family}_total"),
                "info" => format!("{family}_info"),
                _ => family.clone(),
            };
            let ends: &[&str] = if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            let of_it = self
                .samples
                .iter()
                .filter(|sample| sample.name.strip_prefix(&name).is_some_and(|end| ends.contains(&end)));
            let labels: BTreeSet<String> = of_it.flat_map(|sample| sample.labels.keys().cloned()).collect();
            (name, (kind.clone(), labels.into_iter().filter(|label| label != "le").collect()))
        };
        self.types.iter().map(of).collect()
    }
}

fn sample(line: &str) -> Sample {
    let (series, value) = line.rsplit_once(' ').expect("a value");
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    let labels = labels.strip_suffix('}').expect("closed").split("\",").filter(|pair| !pair.is_empty());
    let labels = labels.map(|pair| {
        let (name, value) = pair.split_once("=\"").expect("a label");
        (name.to_owned(), value.trim_end_matches('"').to_owned())
    });
    Sample { name: name.to_owned(), labels: labels.collect(), value: value.parse().expect("a number") }
}
