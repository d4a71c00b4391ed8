package import Contracts
package import ServiceKit

/// Tells people things: by mail, by short message and in their inbox.
package enum Notifications: Program {
    package static let name = ServiceName.notifications
    package static let port = 8086
    package static let summary = "Sends mail and short messages, and keeps everybody's inbox."

    package static func assemble(_ settings: NotificationsSettings, _ house: Foundations) throws -> Assembly {
        // Refused settings end the program before it is put together.
        guard let smtp = settings.smtp, let sender = settings.sender else { throw SMTPSettings.Refused(reason: "is not set") }
        let sealing = try house.sealing()
        let mailer = SMTPMailer(smtp, greetingName: sender.domain, threads: settings.senders)
        let letterMailer = SMTPMailer(smtp, greetingName: sender.domain, threads: settings.letterSenders)
        let shortMessages = settings.sms.map { SMSCarrier($0, TwilioMessages(settings: $0), redis: house.redis, sealing: sealing) }
        let bell = Bell()
        var carriers: [LetterChannel: any LetterCarrier] = [.email: MailCarrier(mailer: letterMailer, sender: sender)]
        carriers[.sms] = shortMessages
        let bells = carriers.mapValues { _ in Bell() }
        let mail = DeliverMail(
            database: house.database, mailer: mailer, sender: sender, schedule: settings.schedule, slots: settings.senders, bell: bell,
            now: house.now, logger: house.logger)
        let letters = carriers.compactMap { channel, carrier in
            bells[channel].map { bell in
                DeliverLetters(
                    channel: channel, database: house.database, sealing: sealing, carrier: carrier, schedule: settings.schedule,
                    slots: settings.letterSenders, bell: bell, now: house.now, logger: house.logger)
            }
        }
        return Assembly(
            endpoints: [
                InboxRoutes(database: house.database).endpoints,
                SendingRoutes(database: house.database, bell: bell).endpoints,
                LetterRoutes(database: house.database, sealing: sealing, bells: bells).endpoints,
            ],
            consumers: [
                Consumption("people", WelcomePerson(bell: bell), KeepContact(), KeepMember(), ForgetContact(), ForgetMember())
            ],
            workers: [mail] + letters + [PruneLetters(database: house.database, now: house.now, logger: house.logger)],
            checks: [
                ReadinessCheck("smtp", required: false) {
                    if let trouble = mailer.trouble ?? letterMailer.trouble { throw DependencyFailure("smtp", reason: trouble) }
                }
            ] + (shortMessages.map { [Self.check($0)] } ?? []), owned: [OwnedObjects("notifications")])
    }

    private static func check(_ shortMessages: SMSCarrier) -> ReadinessCheck {
        ReadinessCheck("sms", required: false) {
            if let trouble = shortMessages.trouble { throw DependencyFailure("sms", reason: trouble) }
        }
    }
}
