//! What each client's requests to each model cost, added up.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::cost::{Amount, Tokens, split};

/// One client's requests to one model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Charge {
    /// Requests whose tokens are reported.
    pub(super) requests: u64,
    /// Their tokens.
    pub(super) tokens: Tokens,
    /// What they cost.
    pub(super) usd: Amount,
    /// What others cost, whose tokens are estimated.
    pub(super) estimated: Amount,
}

impl Charge {
    /// Both together.
    pub(super) fn plus(&self, other: &Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            tokens: self.tokens.plus(&other.tokens),
            usd: self.usd.plus(other.usd),
            estimated: self.estimated.plus(other.estimated),
        }
    }

    /// Reported and estimated.
    pub(super) fn cost(&self) -> Amount {
        self.usd.plus(self.estimated)
    }
}

/// By model.
pub(super) type Models<T> = BTreeMap<String, T>;

/// All that is known.
#[derive(Debug, Default)]
pub(super) struct Bill {
    /// By client, then model.
    pub(super) charges: BTreeMap<String, Models<Charge>>,
    /// Tokens of models without a price: of prompts, and of answers.
    pub(super) unpriced: BTreeMap<String, Models<[u64; 2]>>,
    /// Requests that upstream has had and of which nothing else is known.
    pub(super) unknown: u64,
    /// Lines of the log that could be read, and that could not; `None` if there is no log.
    pub(super) lines: Option<(u64, u64)>,
}

fn slot<'a, T: Default>(
    clients: &'a mut BTreeMap<String, Models<T>>,
    client: &str,
    model: &str,
) -> &'a mut T {
    let models = clients.entry(client.to_owned()).or_default();
    models.entry(model.to_owned()).or_default()
}

impl Bill {
    /// Adds requests to a model with a price.
    pub(super) fn charge(&mut self, client: &str, model: &str, charge: &Charge) {
        let sum = slot(&mut self.charges, client, model);
        *sum = sum.plus(charge);
    }

    /// Adds tokens of a model without one.
    pub(super) fn unpriced(&mut self, client: &str, model: &str, [input, output]: [u64; 2]) {
        let sum = slot(&mut self.unpriced, client, model);
        *sum = [sum[0] + input, sum[1] + output];
    }

    /// One client's sum.
    pub(super) fn of_client(models: &Models<Charge>) -> Charge {
        let charges = models.values();
        charges.fold(Charge::default(), |sum, charge| sum.plus(charge))
    }

    /// The sum of all.
    pub(super) fn total(&self) -> Charge {
        let clients = self.charges.values().map(Self::of_client);
        clients.fold(Charge::default(), |sum, charge| sum.plus(&charge))
    }

    /// An invoice in hundredths, split over the clients in the order they have here; `None` if nothing was charged.
    pub(super) fn split(&self, cents: u64) -> Option<Vec<u64>> {
        let costs = self.charges.values().map(Self::of_client);
        let costs: Vec<_> = costs.map(|charge| charge.cost().pico()).collect();
        split::by_weight(cents, &costs)
    }

    /// For a program.
    pub(super) fn to_json(&self, invoice: Option<&(u64, Vec<u64>)>) -> impl Serialize {
        let total = self.total();
        let shares = invoice.map(|(_, shares)| shares.as_slice());
        let clients = self.charges.iter().enumerate();
        BillJson {
            usd: total.usd,
            estimated_usd: total.estimated,
            invoice: invoice.map(|(cents, _)| in_units(*cents)),
            clients: clients
                .map(|(index, (client, models))| {
                    ClientJson::of(client, models, share(shares, index))
                })
                .collect(),
            unpriced: (self.unpriced.iter())
                .flat_map(|(client, models)| {
                    models.iter().map(|(model, [input, output])| UnpricedJson {
                        client: client.clone(),
                        model: model.clone(),
                        input_tokens: *input,
                        output_tokens: *output,
                    })
                })
                .collect(),
            unknown_requests: self.unknown,
            lines: self
                .lines
                .map(|(read, unreadable)| LinesJson { read, unreadable }),
        }
    }
}

fn share(shares: Option<&[u64]>, index: usize) -> Option<Amount> {
    shares?.get(index).copied().map(in_units)
}

/// Hundredths as an amount.
pub(super) fn in_units(cents: u64) -> Amount {
    Amount::from_pico(u128::from(cents) * 10_000_000_000)
}

#[derive(Serialize)]
struct BillJson {
    usd: Amount,
    estimated_usd: Amount,
    #[serde(skip_serializing_if = "Option::is_none")]
    invoice: Option<Amount>,
    clients: Vec<ClientJson>,
    unpriced: Vec<UnpricedJson>,
    unknown_requests: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    lines: Option<LinesJson>,
}

#[derive(Serialize)]
struct ClientJson {
    client: String,
    usd: Amount,
    estimated_usd: Amount,
    #[serde(skip_serializing_if = "Option::is_none")]
    invoice: Option<Amount>,
    models: Vec<ModelJson>,
}

#[derive(Serialize)]
struct ModelJson {
    model: String,
    requests: u64,
    input_tokens: u64,
    cached_tokens: u64,
    cache_written_tokens: u64,
    output_tokens: u64,
    usd: Amount,
    estimated_usd: Amount,
}

#[derive(Serialize)]
struct UnpricedJson {
    client: String,
    model: String,
    input_tokens: u64,
    output_tokens: u64,
}

#[derive(Serialize)]
struct LinesJson {
    read: u64,
    unreadable: u64,
}

impl ClientJson {
    fn of(client: &str, models: &Models<Charge>, invoice: Option<Amount>) -> Self {
        let sum = Bill::of_client(models);
        let models = models.iter().map(|(model, charge)| ModelJson {
            model: model.clone(),
            requests: charge.requests,
            input_tokens: charge.tokens.input,
            cached_tokens: charge.tokens.cached,
            cache_written_tokens: charge.tokens.cache_written,
            output_tokens: charge.tokens.output,
            usd: charge.usd,
            estimated_usd: charge.estimated,
        });
        Self {
            client: client.to_owned(),
            usd: sum.usd,
            estimated_usd: sum.estimated,
            invoice,
            models: models.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invoice_is_split_by_what_clients_cost() {
        let mut bill = Bill::default();
        let charge = |usd, estimated| Charge {
            requests: 1,
            usd: Amount::from_pico(usd),
            estimated: Amount::from_pico(estimated),
            ..Charge::default()
        };
        bill.charge("b", "m", &charge(1, 0));
        bill.charge("a", "m", &charge(1, 1));
        bill.charge("a", "n", &charge(1, 0));
        bill.unpriced("c", "x", [1, 2]);
        bill.unpriced("c", "x", [1, 2]);
        assert_eq!(bill.split(10_001), Some(vec![7_501, 2_500]));
        assert_eq!(bill.total().cost().pico(), 4);
        assert_eq!(bill.unpriced["c"]["x"], [2, 4]);
        let json =
            serde_json::to_string(&bill.to_json(Some(&(10_001, vec![7_501, 2_500])))).unwrap();
        assert!(
            json.contains(r#""invoice":100.01"#) && json.contains(r#""invoice":75.01"#),
            "{json}"
        );
        assert_eq!(Bill::default().split(1), None);
    }
}
