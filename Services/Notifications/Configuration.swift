package import ServiceKit

/// The settings of notifications alone.
package struct NotificationsSettings: ServiceSettings {
    let smtp: SMTPSettings?
    let sender: MailSender?
    let schedule: RetrySchedule
    /// Mails sent at once, each on a thread and a connection of its own.
    let senders: Int
    /// The same for letters, which do not wait for mails.
    let letterSenders: Int
    /// Nil: no short messages.
    let sms: SMSSettings?

    package init(_ reader: inout SettingsReader) {
        let url = reader.text("SMTP_URL", default: "smtp://127.0.0.1:2525", "The mail server, smtp:// or smtps://[user:password@]host:port")
        let security = reader.choice(
            "SMTP_TLS", default: "opportunistic", of: SMTPSettings.Security.allCases.map(\.rawValue),
            "Whether mail may go out without TLS when the address is smtp://")
        let authorities = reader.optionalText("SMTP_CA", "A file of certificates to trust instead of the system's")
        let from = reader.text("SMTP_FROM", default: "Trionex <no-reply@trionex.example>", "The sender of mails")
        schedule = RetrySchedule(
            first: Double(
                reader.integer("NOTIFICATIONS_RETRY_SECONDS", default: 2, in: 1...3_600, "Seconds before a mail is tried again, growing")),
            maxAttempts: reader.integer("NOTIFICATIONS_MAX_ATTEMPTS", default: 12, in: 1...50, "Tries before a mail has failed"))
        senders = reader.integer("NOTIFICATIONS_SENDERS", default: 4, in: 1...64, "Mails sent at once")
        letterSenders = reader.integer(
            "NOTIFICATIONS_LETTER_SENDERS", default: 2, in: 1...64, "Letters (codes, links, warnings) sent at once over each channel")
        sms = SMSSettings.read(&reader)
        sender = MailSender(from)
        if sender == nil { reader.refuse("TRIONEX_SMTP_FROM must be an e-mail address, or a name and an address in angle brackets") }
        do throws(SMTPSettings.Refused) {
            smtp = try SMTPSettings(url: url, security: .init(rawValue: security) ?? .opportunistic, authorities: authorities)
        } catch {
            reader.refuse("TRIONEX_SMTP_URL \(error.reason)")
            smtp = nil
        }
    }
}
