//! Tests of `latency.rs`.

use super::*;

fn within(actual: f64, expected: f64, share: f64) -> bool {
    (actual - expected).abs() <= expected * share
}

#[test]
fn article_profile_has_the_published_mean_and_percentiles() {
    for seed in [1, 7, 42] {
        let sampler = Sampler::new(Profile::Article, seed);
        let mut ms: Vec<f64> = (0..200_000)
            .map(|_| sampler.sample().as_secs_f64() * 1e3)
            .collect();
        ms.sort_by(f64::total_cmp);
        let mean = ms.iter().sum::<f64>() / 200_000.0;
        assert!(within(mean, 37.2, 0.005), "mean {mean}");
        assert!(within(ms[190_000], 48.5, 0.01), "p95 {}", ms[190_000]);
        assert!(within(ms[198_000], 62.3, 0.015), "p99 {}", ms[198_000]);
    }
}

#[test]
fn same_seed_same_times() {
    let draw = || {
        let sampler = Sampler::new(Profile::Article, 9);
        [(); 5].map(|()| sampler.sample())
    };
    assert_eq!(draw(), draw());
}

#[test]
fn text_form_round_trips() {
    for text in ["none", "article", "fixed:12.5"] {
        assert_eq!(text.parse::<Profile>().unwrap().to_string(), text);
    }
    for text in ["", "slow", "fixed:", "fixed:-1", "fixed:NaN"] {
        assert!(text.parse::<Profile>().is_err(), "{text}");
    }
}
