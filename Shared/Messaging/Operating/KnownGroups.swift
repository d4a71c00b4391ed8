/// The consumer groups of the platform's own services, for brokers that do not list groups. A test holds it against the services.
package enum KnownGroups {
    package static let all = [
        "trionex.analytics.facts",
        "trionex.analytics.organizations",
        "trionex.analytics.people",
        "trionex.assistant.knowledge",
        "trionex.auth.rights",
        "trionex.notifications.people",
        "trionex.search.index",
        "trionex.users.addresses",
        "trionex.users.audit-log",
        "trionex.users.storage",
    ]
}
