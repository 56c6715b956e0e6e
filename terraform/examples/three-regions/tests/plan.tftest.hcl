# The example as it is written, with Google mocked.

mock_provider "google" {
  source = "../../tests/mocks"
}

variables {
  project_id = "shop-test"
  image      = "europe-docker.pkg.dev/shop-test/cartograph/cartograph:1.0.0"
  domain     = "carts.example.com"
  oncall     = "oncall@example.com"
}

run "as_written" {
  assert {
    condition     = length(output.cartograph.resp_endpoint) == 3
    error_message = "Three regions."
  }
  assert {
    condition     = output.cartograph.public_url == "https://carts.example.com"
    error_message = "One address."
  }
}

run "upgrade_one_region" {
  variables { replace = ["europe-west1"] }
  assert {
    condition     = length(output.cartograph.resp_endpoint) == 3
    error_message = "Nothing else changes."
  }
}
