output "alerts" {
  description = "Query of each alert policy, by the alert's name."
  value       = { for name, rule in local.rules : name => rule.expr }
}

output "runbooks" {
  description = "Page of each alert."
  value       = { for name, rule in local.rules : name => rule.runbook }
}

output "dashboard" {
  description = "The dashboard."
  value       = google_monitoring_dashboard.main.id
}

output "tiles" {
  description = "How many tiles the dashboard has."
  value       = length(local.tiles)
}
