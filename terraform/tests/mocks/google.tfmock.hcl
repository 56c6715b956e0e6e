# What Google would answer, as far as anything here reads it.
mock_resource "google_memorystore_instance" {
  defaults = {
    endpoints = [{
      connections = [
        { psc_auto_connection = [{ connection_type = "CONNECTION_TYPE_READER", ip_address = "10.0.0.98", port = 6379 }] },
        { psc_auto_connection = [{ connection_type = "CONNECTION_TYPE_PRIMARY", ip_address = "10.0.0.99", port = 6379 }] },
      ]
    }]
  }
}

mock_resource "google_compute_address" {
  defaults = {
    address = "10.0.0.42"
  }
}

mock_resource "google_compute_global_address" {
  defaults = {
    address = "203.0.113.7"
  }
}

mock_resource "google_privateca_certificate_authority" {
  defaults = {
    pem_ca_certificates = ["-----BEGIN CERTIFICATE-----\n"]
  }
}
