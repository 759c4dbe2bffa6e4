"""The plots of the stories: what goes wrong or is wished for, what is tried, who helps, how it ends.

The notation is that of `story_grammar`; slots and shared rules stand in `story_rules`. Every plot has exactly one thing
`t`, chosen by the kind of hero: that choice is what the split "combinations" holds out.
"""

# ruff: noqa: E501

PLOTS: dict[str, list[str]] = {
    "plot": [
        "10 | {h.name} could not find {h.his} [t=goal_phrase]. <lost>",
        "6 | {h.name} remembered that the next day was {h.friend.name}'s birthday. <gift>",
        "6 | {h.name} was carrying {h.his} [t=goal_phrase] home when it [harm]. <broken>",
        "4 | {h.name} saw [t=goal_a] [p=haunts_h], but it was much too high up. <reach>",
        "5 | {h.name} and {h.friend.name} the {h.friend.kind} found [t=goal_a] [p=haunts_h]. <quarrel>",
        "4 | {h.name} found [t=goal_a] [p=haunts_h]. <owner>",
        "2 | {h.name} decided to build [j=project]. <build>",
        "2 | everyone was talking about the big show [p=place_at]. <contest>",
        "3 | {h.name} heard that {h.friend.name} the {h.friend.kind} was ill. <sick>",
        "3 | {h.name} woke up because there was a strange noise outside. <night>",
        "3 | {h.name} wished for [t=goal_a]. <trade>",
        "2 | {h.name} dropped {h.his} [t=goal_phrase] into a deep hole [p=haunts_h]. <fear>",
        "2 | {h.name} got a letter from {h.friend.name} the {h.friend.kind}. <parcel>",
        "1 | there was a knock at {h.name}'s door. <visitor>",
        "1 | {h.name} opened an old book, and a map fell out. <map>",
        "1 | a storm blew over {h.near.the}. <storm>",
        "1 | {h.name} met [g=named!h,h.friend], who could {g.skill}. <lesson>",
        "1 | {h.name} wanted to race against [g=named!h,h.friend]. <race>",
    ],
    # ---------------------------------------------------------------- lost: ask, search, find
    "lost": [
        "{h.name} felt very [feelings_h]. {h.He} [moves_h] to [p=place] and looked [s=spot_p], but there was only [x=found_p!t]. "
        "{h.He} picked it up. <meet_p>\n\n<ask_lost> <hint>\n\n<find> <thank_x> <keep>",
        '"{h.saying}!" [speech_h] {h.name}. "Where can it be?" First {h.he} looked {h.keep}, then [p=haunts_h]. It was not there. '
        "<scene_p> <meet_p>\n\n<ask_lost> <hint>\n\n<find> <thank_food> <keep>",
        "Yesterday it had still been {h.keep}. So {h.he} asked {h.friend.name} the {h.friend.kind}, but {h.friend.name} had not seen it. "
        "Then {h.he} [moves_h] to [p=place]. <meet_p>\n\n<ask_lost> <hint>\n\n<find> <thank_food> <keep>",
    ],
    "ask_lost": [
        '"Why do you look so [feelings_h]?" asked {f.name}. "I have lost my {t.phrase}," [speech_h] {h.name}.',
        '"My {t.noun} is gone," [speech_h] {h.name} [manners_h]. "Can you help me?"',
        "{f.name} came closer with [gestures_f], and {h.name} told {f.him} about the {t.phrase}.",
        '{h.name} sat down and sighed. "{f.saying}!" [speech_f] {f.name}. "What is the matter?" So {h.name} told {f.him}.',
    ],
    "hint": [
        '"I was [q=next_at_p] today," [speech_f] {f.name}. "I saw {t.a_noun} there, [r=hidden_q]."',
        '{f.name} thought for a while. "Try [q=next_p]," {f.he} [speech_f] [manners_f]. "Look [r=hidden_q]."',
        '"Let us look for it together," [speech_f] {f.name}. They searched [s=spot_p!s], but it was not there. '
        "Then they went on to [q=next_p] and looked [r=hidden_q].",
        '"Go and ask my friend [g=friends_f!h,h.friend]," [speech_f] {f.name}. So {h.name} [moves_h] to {g.near.the} and asked {g.him}. '
        '"Yes, I saw it [q=next_at_p]," [speech_g] {g.name}. "It was [r=hidden_q]."',
    ],
    "find": [
        "And there it was! [cause].",
        "At last {h.name} saw something there. It was the {t.phrase}! [cause].",
        "{h.name} looked {r}, and there was the {t.noun}. [cause].",
    ],
    # ---------------------------------------------------------------- gift: swap a favorite food for a present
    "gift": [
        '"{h.friend.name} would love [t=goal_a]," {h.he} thought. {h.He} [moves_h] to [p=place], where [m=met_p!h,h.friend] was [doing_mp]. '
        "<swap>\n\n<present>",
        "{h.His} friend had always wanted [t=goal_a]. So {h.name} went to see [m=named!h,h.friend], who lived near {m.near.the}. "
        "<swap>\n\n<present>",
        '"What shall I give to {h.friend.him}?" {h.he} [speech_h] [manners_h]. All {h.he} found at home was [t=goal_a]. '
        "{h.name} painted it and wrapped it up. <present>",
    ],
    "swap": [
        '"I do have {t.a_noun}," [speech_m] {m.name}. "I will give it to you for some {m.food}." {h.name} ran home and cooked '
        "until the kitchen was full of [taste_m] {m.food}.",
        '"You can have mine," [speech_m] {m.name}, "if you teach me how to {h.skill}." So {h.name} showed {m.him} how to {h.skill}.',
        '{m.name} had {t.a_noun}, but {m.he} shook {m.his} head. "It is not for sale," {m.he} [speech_m] [manners_m]. Then {m.he} '
        "smelled the {h.food} in {h.name}'s bag, and they made a swap.",
    ],
    "present": [
        'The next day, {h.friend.name} opened the present. "{h.friend.saying}!" {h.friend.he} shouted. It was the {t.noun}. '
        "They ate {h.friend.food} and played until dark.",
        "When {h.friend.name} saw the {t.phrase}, {h.friend.he} laughed out loud. It was kept {h.friend.keep} for ever after.",
        "For the party, {h.friend.name} wore {h.friend.wear}. But {h.friend.he} liked the {t.phrase} best of all. "
        '"You are a true friend," {h.friend.he} said, and {h.name} felt [joys_h].',
        "But on the way to the party, {h.name} was afraid of {h.fear} and ran so fast that the {t.noun} [harm]. {h.friend.name} only smiled. "
        '"Never mind," {h.friend.he} said. "You are here, and that is my present." They shared some {h.friend.food}.',
    ],
    # ---------------------------------------------------------------- broken: who has what mends it?
    "broken": [
        "{h.He} felt [feelings_h]. To mend it, {h.he} needed [n=mender]. <try_mend>",
        '"{h.saying}!" [speech_h] {h.name} [manners_h]. "Now I need [n=mender]." <try_mend>',
        "It had been a present from {h.friend.name}, and {h.name} felt [feelings_h]. Perhaps [n=mender] would help. <try_mend>",
    ],
    "try_mend": [
        "{h.He} [moves_h] to [p=place]. <scene_p> <meet_p>\n\n<ask_mend>",
        "First {h.he} tried alone, but it only got worse. Then {h.he} [moves_h] to [p=place]. <meet_p>\n\n<ask_mend>",
    ],
    "ask_mend": [
        '"Can you help me?" asked {h.name}. "{f.saying}!" [speech_f] {f.name}. "Of course I can." <mend>',
        '{h.name} showed {f.him} the {t.phrase}. "Oh no," [speech_f] {f.name} [manners_f]. "Come with me." <mend>',
        '"What have you got there?" [speech_f] {f.name}. "It is my {t.noun}, and it is broken," [speech_h] {h.name}. <mend>',
    ],
    "mend": [
        "{f.name} found {n} [s=spot_p], and together they worked until the {t.noun} was as good as new. <thank_food> <keep>",
        '{f.name} did not know how. "But I know [g=friends_f!h,h.friend]," {f.he} [speech_f]. They went to {g.near.the}, '
        "and with {n} and {g.name}'s help the {t.phrase} was soon whole again. <thank_food> <keep>",
        '"We cannot mend it," [speech_f] {f.name} at last, "but you can have [x=found_p!t]." {h.name} took it home and was [joys_h] all the same. '
        "Now the {x.noun} is {h.keep}, right next to the broken {t.noun}.",
    ],
    # ---------------------------------------------------------------- reach: tries fail until somebody helps
    "reach": [
        "{h.He} jumped and jumped, but {h.he} could not reach it. Then {h.he} threw [x=found_p!t] at it, but that got stuck as well. "
        "<meet_p>\n\n<help_reach>",
        "{h.He} tried to climb up, but {h.he} fell down and landed [s=spot_p]. {h.He} was [feelings_h]. <scene_p> <meet_p>\n\n<help_reach>",
    ],
    "help_reach": [
        '"Stand on my shoulders," [speech_f] {f.name}. <got_it>',
        '"I know what to do! {f.saying}!" [speech_f] {f.name} [manners_f] and fetched a long ladder from [q=next_p]. <got_it>',
        '"If we both push, it will fall down," [speech_f] {f.name}. <got_it>',
        "{f.name} looked up with [gestures_f] and called [g=friends_f!h,h.friend]. {g.name} came at once and brought a long pole. <got_it>",
    ],
    "got_it": [
        "Soon the {t.phrase} was safely down. <thank_food> <keep>",
        'It worked! "You may keep it," [speech_f] {f.name}. But {h.name} wanted to share. In the morning {h.he} had the {t.noun}, '
        "and in the evening it was {f.name}'s turn.",
        '{h.name} gave {f.name} a hug. "Without you I would still be jumping," {h.he} [speech_h]. <keep>',
    ],
    # ---------------------------------------------------------------- quarrel and make up
    "quarrel": [
        '"It is mine!" [speech_h] {h.name}. "No, I saw it first!" shouted {h.friend.name}. They pulled and pulled until the '
        "{t.noun} [harm]. <sorry>",
        'Both of them wanted it. {h.friend.name} took it and would not let go. "{h.saying}!" [speech_h] {h.name} [manners_h] and '
        "turned away, feeling [feelings_h]. <sorry>",
    ],
    "sorry": [
        "For a long time nobody spoke. <meet_p>\n\n<advice>",
        "{h.name} went to [q=next_p] to be alone. {h.He} sat down [s=spot_q]. <meet_q>\n\n<advice>",
    ],
    "advice": [
        '"You can find another {t.noun}," [speech_f] {f.name}, "but there is only one {h.friend.name}." <make_up>',
        '"When I was little, I lost a friend over {t.a_noun}," [speech_f] {f.name} [manners_f]. <make_up>',
        '{f.name} heard the whole story. "{f.saying}," {f.he} [speech_f]. "Why not take turns?" <make_up>',
        '"I once had a quarrel with [g=friends_f!h,h.friend]," [speech_f] {f.name}. "We shared some {g.food}, and then it was over." <make_up>',
    ],
    "make_up": [
        "{h.name} knew what to do. {h.He} brought {h.friend.name} some [taste_h] {h.food} and said sorry. They played [game_h] "
        "until the sun went down, and the {t.noun} belonged to both.",
        'So {h.name} ran to {h.friend.name}\'s house near {h.friend.near.the}. "I am sorry," said {h.name}. "I am sorry too," said '
        "{h.friend.name}. They put the {t.noun} {h.keep}, and both were [joys_h].",
        '"You are right," [speech_h] {h.name} and ran back. {h.friend.name} was still there. They hugged each other, and from then on '
        "each had the {t.phrase} for one week at a time.",
    ],
    # ---------------------------------------------------------------- owner: whose is it?
    "owner": [
        'It lay [s=spot_p]. "Somebody must miss it," {h.he} thought. <scene_p> <meet_p>\n\n<not_mine>',
        '"{h.saying}!" {h.he} [speech_h]. "Whose can it be?" <meet_p>\n\n<not_mine>',
    ],
    "not_mine": [
        '"It is not mine," [speech_f] {f.name}, "but I know that [g=named!h,f,h.friend] has lost {t.a_noun}." <bring_back>',
        '"Is this yours?" asked {h.name}. {f.name} looked at it with [gestures_f]. "No, it belongs to my friend [g=friends_f!h,h.friend]," {f.he} '
        "[speech_f]. <bring_back>",
    ],
    "bring_back": [
        "So {h.name} [moves_h] all the way to {g.near.the} and knocked at the door of {g.home}. <back>",
        "{h.name} wanted to keep the {t.phrase}, but that would not be right. {h.He} set out for {g.near.the}, where {g.name} "
        "lived in {g.home}. <back>",
    ],
    "back": [
        '"{g.saying}! My {t.noun}!" [speech_g] {g.name} [manners_g]. {g.He} was so [joys_g] that {g.he} invited {h.name} for some '
        "[taste_g] {g.food}. Now they are friends.",
        '{g.name} put the {t.noun} {g.keep} at once. "How can I thank you?" {g.he} [speech_g]. "Teach me how to {g.skill}," said '
        "{h.name}. And {g.name} did.",
        'But {g.name} was still asleep. So {h.name} left the {t.noun} at the door with a note: "Found [p=haunts_g]. {h.name}." The next day, '
        "somebody had put some [taste_h] {h.food} at {h.his} own door.",
    ],
    # ---------------------------------------------------------------- build: what is needed, who lends it
    "build": [
        "{h.He} had [k=material_j], but {h.he} still needed [t=goal_a]. <gather>",
        "With {h.friend.name} the {h.friend.kind} it would be fun. They had [k=material_j], but they still needed [t=goal_a]. <gather>",
    ],
    "gather": [
        "{h.name} [moves_h] to [p=place]. <scene_p> <meet_p>\n\n<lend>",
        "First {h.name} looked [p=haunts_h], but found only [x=found_p!t]. <meet_p>\n\n<lend>",
    ],
    "lend": [
        '"What are you doing?" asked {f.name}. "I am building {j}," [speech_h] {h.name} [manners_h]. "You can have my {t.phrase}," '
        "[speech_f] {f.name}. <built>",
        '"You need more than that," [speech_f] {f.name}. "Take [material_j!k] as well, and look [r=hidden_p] for {t.a_noun}." It was there. <built>',
        '"I had {t.a_noun} once," [speech_f] {f.name}, "but I gave it to [g=friends_f!h,h.friend]." {g.name} had it {g.keep} and was happy to help. <built>',
    ],
    "built": [
        "They worked for three days, and then it was ready. {f.name} and {h.name} were [joys_h]. Everyone from "
        "{h.near.the} came to see it, and they all ate some [taste_f] {f.food}.",
        "The first one fell down with a crash. {h.name} felt [feelings_h]. But {f.name} did not give up, and the second one "
        "was perfect. They painted their names on it and ate {h.food}.",
    ],
    # ---------------------------------------------------------------- contest
    "contest": [
        "The first prize was [t=goal_a]. {h.name} wanted to show how well {h.he} could {h.skill}. <rival>",
        "The winner would get [t=goal_a], and {h.name} wanted to have it. Nobody could {h.skill} like {h.him}. <rival>",
    ],
    "rival": [
        '"You will never win," laughed [g=met_p!h,h.friend], who could {g.skill}. {h.name} was [feelings_h], but {h.friend.name} the '
        "{h.friend.kind} helped {h.him} to practice every day. <show>",
        "{h.name} practiced in front of {h.his} friend {h.friend.name}. But then {h.he} heard that [g=met_p!h,h.friend] would come too, and "
        "{g.he} could {g.skill}. <show>",
    ],
    "show": [
        "On the day of the show, {h.name} was so good that everyone clapped. {h.He} won the {t.phrase}! {g.name} came over with "
        '[gestures_g]. "Well done," {g.he} [speech_g]. <keep>',
        "In the end, {g.name} was even better and won the {t.phrase}. {h.name} was [feelings_h] at first. Then "
        '{g.name} [speech_g], "Shall we do it together next time?" They shared some [taste_g] {g.food}, and {h.name} could smile again.',
        "When it was {g.name}'s turn, {g.he} forgot everything. {h.name} jumped up and helped {g.him}, and they won together. "
        "The {t.noun} now stands {g.keep} in {g.name}'s home.",
    ],
    # ---------------------------------------------------------------- sick friend
    "sick": [
        "{h.friend.He} had [a=ailments_friend]. {h.name} packed [t=goal_a] to cheer {h.friend.him} up and went to ask for advice "
        "[p=place_at]. <meet_p>\n\n<cure>",
    ],
    "cure": [
        '"For {a} you need [b=remedy_a]," [speech_f] {f.name}. "You can find it [q=next_at_p], [r=spot_q]." <fetch>',
        '"I had {a} last year," [speech_f] {f.name} [manners_f]. "{f.saying}! What helped me was [b=remedy_a]. Look [q=next_at_p]." <fetch>',
        '"Ask my friend [g=friends_f!h,h.friend]," [speech_f] {f.name}. {g.name} knew what helps against {a}. It was [b=remedy_a] from [q=next_p]. <fetch>',
    ],
    "fetch": [
        "{h.name} [moves_h] there as fast as {h.he} could. <scene_q> {h.He} found what {h.he} needed and took it to {h.friend.home}. <well>",
        "It was a long way, and {h.he} was afraid of {h.fear}. But {h.he} thought of {h.friend.name} and went on to {q.the}. <well>",
    ],
    "well": [
        'The next morning, {h.friend.name} felt better. "{h.friend.saying}!" {h.friend.he} laughed. They played with the {t.phrase}, '
        "and {h.friend.he} even ate some {h.friend.food}.",
        'When {h.friend.name} had taken it, {h.friend.he} fell asleep with the {t.noun} in {h.friend.his} arms. "Thank you, {h.name}," '
        "{h.friend.he} whispered. {h.name} was [joys_h].",
    ],
    # ---------------------------------------------------------------- night: a guest who is lost
    "night": [
        "At first {h.he} thought of {h.fear} and hid under the blanket. Then {h.he} lit a lamp and looked outside. <stray>",
        '"Who is there?" {h.he} [speech_h] [manners_h]. {h.He} opened the door and looked into the dark. <stray>',
    ],
    "stray": [
        'In the moonlight sat [g=intro!h,h.friend]. "{g.cry}," {g.he} said softly. {g.He} had lost the way home. <guest>',
        'There stood [g=intro!h,h.friend], cold and [feelings_g]. "{g.cry}," said {g.name}. <guest>',
        "It was only [g=intro!h,h.friend], who could not sleep. <guest>",
    ],
    "guest": [
        '"Come in," said {h.name}. They drank something hot and ate some [taste_h] {h.food}. <way_home>',
        '"Where do you live?" asked {h.name}. "In {g.home}, near {g.near.the}," [speech_g] {g.name} [manners_g]. <way_home>',
    ],
    "way_home": [
        "In the morning, they [moves_h] to {g.near.the} together. {g.name} was [joys_g] and gave {h.name} [t=goal_a]. <keep>",
        "{h.name} sang until {g.name} fell asleep. The next day {g.he} was gone, but [t=goal_a] lay on the doorstep. <keep>",
        "Then {h.name} took a lantern and brought {g.name} home. On the way they found [t=goal_a] [p=haunts_g]. "
        '"It is for you," [speech_g] {g.name}. <keep>',
    ],
    # ---------------------------------------------------------------- trade: a chain of swaps
    "trade": [
        "But the only one belonged to [m=named!h,h.friend], who lived near {m.near.the}. <offer>",
        "{h.He} saved every penny, but it was not enough. Then {h.he} heard that [m=named!h,h.friend] had one. <offer>",
    ],
    "offer": [
        '"You can have it for [x=wish_m!t]," [speech_m] {m.name}. {h.name} did not have {x.a_noun}, but [f=named!h,m,h.friend] did. <chain>',
        '{m.name} thought about it. "Bring me [x=wish_m!t]," {m.he} [speech_m] [manners_m], "and it is yours." '
        "{h.name} asked everyone, and in the end [f=friends_m!h,h.friend] had {x.a_noun}. <chain>",
    ],
    "chain": [
        '"I am so hungry," [speech_f] {f.name}. "For some {f.food} I would give you anything." So {h.name} cooked some [taste_f] '
        "{f.food} and got the {x.noun}. <traded>",
        '"You may have it," [speech_f] {f.name}, "but first you must help me." All day long they were busy {f.work}. '
        "In the evening {h.name} got the {x.noun}. <traded>",
        '"It is {f.keep}," [speech_f] {f.name}. "Take it, but leave me something to wear." So {h.name} gave {f.him} {h.wear} and got the {x.noun}. <traded>',
    ],
    "traded": [
        "{h.He} took the {x.noun} to {m.name}, and {m.name} gave {h.him} the {t.phrase}. <keep>",
        '{m.name} was [joys_m] when {m.he} saw the {x.phrase}. "{m.saying}! Here is your {t.noun}," {m.he} [speech_m]. <keep>',
        "But on the way to {m.name}, {h.name} met {h.friend.name}, who was crying. {h.He} gave {h.friend.him} the {x.noun} and went "
        "home without the {t.noun}. Still, {h.he} was [joys_h], for a happy friend is better than {t.a_noun}.",
    ],
    # ---------------------------------------------------------------- fear: do it all the same
    "fear": [
        "{h.He} wanted to climb down, but {h.he} was afraid of {h.fear}. <scene_p> <meet_p>\n\n<courage>",
        'Down there it was dark. "{h.saying}!" {h.he} [speech_h] [manners_h]. "I am too afraid." <meet_p>\n\n<courage>',
    ],
    "courage": [
        '"I am afraid of {f.fear}," [speech_f] {f.name}. "But I always sing a song, and then it gets better." So {h.name} sang '
        "and climbed down, step by step. <brave>",
        '"Everyone is afraid of something," [speech_f] {f.name} [manners_f]. "Take my hand." Together they climbed down. <brave>',
        '{f.name} tied a rope around {h.name} and held it tight. "{f.saying}! You can do it," {f.he} [speech_f]. <brave>',
    ],
    "brave": [
        "At the bottom lay the {t.phrase}, and next to it [x=found_p!t]! {h.name} kept the {t.noun}, and {f.name} got the {x.noun}.",
        "When {h.name} came up again with the {t.noun}, {h.he} was [joys_h]. {h.He} was never afraid of {h.fear} again. <keep>",
        "It was not so bad after all. {h.name} got the {t.noun} back and shared {h.his} {h.food} with {f.name}. <keep>",
    ],
    # ---------------------------------------------------------------- parcel: carry something to a friend
    "parcel": [
        '"Please bring [t=goal_a] to {h.friend.near.the}," it said. "I need it for my party. There will be {h.friend.food}!" <way>',
        '"Come and see me," it said, "and do not forget [t=goal_a]!" So {h.he} set out for {h.friend.near.the}. <way>',
    ],
    "way": [
        "The way led past [p=place!h.friend.near]. <scene_p> There {h.he} saw [x=found_p!t], but there was no time to stop. <rest>",
        "Halfway there, [p=place_at!h.friend.near], it began to rain. {h.name} hid [s=spot_p] and kept the {t.noun} dry. <rest>",
        "At a crossing, [f=named!h,h.friend] showed {h.him} the way past [p=place!h.friend.near]. <rest>",
    ],
    "rest": [
        "But when {h.he} arrived, the bag was empty! The {t.noun} had fallen out [q=next_at_p], [r=hidden_q]. {h.He} ran back to get it. <arrive>",
        "Then {h.he} met [g=named!h,h.friend,f], who wanted to buy the {t.phrase}. {h.name} said no, for it was not {h.his} to sell. <arrive>",
    ],
    "arrive": [
        '"There you are at last!" said {h.friend.name}. "{h.friend.saying}!" They ate {h.friend.food} and played [game_h].',
        "{h.friend.name} opened the door with [gestures_friend]. {h.friend.He} put the {t.noun} {h.friend.keep}, and {h.name} stayed for three days.",
        "In front of {h.friend.home} stood {h.friend.name}, wearing {h.friend.wear}. Then they talked about {h.friend.dream} until it was late.",
    ],
    # ---------------------------------------------------------------- visitor: a stranger becomes a friend
    "visitor": [
        "Outside stood [g=intro!h,h.friend], who had come all the way from {g.near.the}. {h.name} did not know what to say. <welcome>",
        'It was [g=named!h,h.friend]. "I have come from {g.near.the}," [speech_g] {g.name} [manners_g], "and I do not know anyone here." <welcome>',
    ],
    "welcome": [
        "{h.He} offered {g.him} some {h.food}, but {g.name} only liked {g.food}. So they cooked {g.food} together. <settled>",
        '"Can you {h.skill}?" asked {h.name}. "No, but I can {g.skill}," [speech_g] {g.name}. They taught each other until noon. <settled>',
        "{h.name} took {g.him} for a walk [p=haunts_h]. <scene_p> <settled>",
    ],
    "settled": [
        "Before {g.name} went home, {g.he} gave {h.name} [t=goal_a]. <keep>",
        "Behind the house they found [t=goal_a], and {h.name} gave it to {g.name}. It is still {g.keep}.",
        'In the evening {h.friend.name} the {h.friend.kind} came too and brought [t=goal_a]. "{h.friend.saying}!" said {h.friend.name}. Now there were three friends.',
    ],
    # ---------------------------------------------------------------- map: a treasure hunt
    "map": [
        "A red cross was drawn near [p=place!h.near], and below it said: look [s=spot_p]. <hunt>",
        'On the back it said: "From {h.near.the} go to [p=place!h.near]. Look [s=spot_p]." <hunt>',
    ],
    "hunt": [
        '"{h.saying}!" [speech_h] {h.name} and [moves_h] there at once. But {h.he} found only [x=found_p]. <next_clue>',
        "{h.friend.name} the {h.friend.kind} came along, wearing {h.friend.wear}. They dug a deep hole and found [x=found_p]. <next_clue>",
    ],
    "next_clue": [
        'On the {x.noun} somebody had written: "Now go to [q=next_p] and look [r=spot_q]." <treasure>',
        'Then <meet_map> "The real treasure is [q=next_at_p]," {f.he} [speech_f]. "Look [r=spot_q]." <treasure>',
    ],
    "meet_map": ["[f=met_p!h,h.friend] came along with [gestures_f]."],
    "treasure": [
        "And there, {r}, was [t=goal_a!x]. It was not gold, but {h.name} was [joys_h]. <keep>",
        "There lay [t=goal_a!x]! {h.name} had always wanted one. <keep>",
    ],
    # ---------------------------------------------------------------- storm: what the wind takes and brings
    "storm": [
        "The wind took {h.name}'s [t=goal_phrase] and carried it away over the roofs. <after>",
        "When it was over, {h.name}'s [t=goal_phrase] was gone, and in its place lay [x=found_near!t]. <after>",
    ],
    "after": [
        "{h.name} asked {h.friend.name} the {h.friend.kind}, who had seen it fly towards [p=place]. {h.He} [moves_h] there. <meet_p>\n\n<caught>",
        "All the neighbors were sweeping up. {h.name} helped for a while and then went on to [p=place]. <meet_p>\n\n<caught>",
    ],
    "caught": [
        '"Something fell on my head," [speech_f] {f.name}. "{f.saying}! It lies [r=hidden_p]." <thank_food> <keep>',
        '"Is this what you are looking for?" [speech_f] {f.name} and held up the {t.phrase}. <thank_food> <keep>',
    ],
    # ---------------------------------------------------------------- lesson: practice makes perfect
    "lesson": [
        '"I want to {g.skill} too," [speech_h] {h.name}. "Then you need [t=goal_a]," [speech_g] {g.name} [manners_g]. <learn>',
        "{h.name} watched with [gestures_h]. Then {h.he} fetched [t=goal_a] from home, because {h.he} wanted to learn it too. <learn>",
    ],
    "learn": [
        "The first day, {h.he} fell over the {t.noun} and was [feelings_h]. The second day, it went a little better. <learned>",
        '{h.He} practiced every day [p=haunts_h]. "{g.saying}!" [speech_g] {g.name}. "Do not give up!" <learned>',
        'It was so hard that {h.he} wanted to give up. But {h.friend.name} the {h.friend.kind} brought some {h.food} and said, "One more time!" <learned>',
    ],
    "learned": [
        "And one day, {h.name} could do it. {h.He} was so [joys_h] that {h.he} gave {g.name} the {t.phrase}. {g.name} put it {g.keep}.",
        "After a month, {h.name} could {g.skill} as well as {g.name}, and everyone near {h.near.the} came to watch. <keep>",
        'But {h.he} never learned to {g.skill}. "That does not matter," said {g.name}. "You can {h.skill}, and I cannot." And so each had something to be proud of.',
    ],
    # ---------------------------------------------------------------- race
    "race": [
        "The race went from {h.near.the} to [p=place!h.near], and the prize was [t=goal_a]. <run>",
        '{h.friend.name} the {h.friend.kind} held up [t=goal_a] and shouted, "Go!" They had to run all the way to [p=place]. <run>',
    ],
    "run": [
        "{g.name} [moves_g] and {h.name} [moves_h], side by side. Suddenly {g.name} stumbled and landed [s=spot_p]. <finish>",
        "{h.name} [moves_h] as fast as {h.he} could, but {g.name} was faster. Then {g.he} got stuck [s=spot_p]. <finish>",
    ],
    "finish": [
        '{h.name} stopped and helped {g.him} up. "{g.saying}!" [speech_g] {g.name}. Hand in hand they reached the end, and they shared the {t.phrase}.',
        "But {h.name} did not look back and won. When {h.he} held the {t.noun}, {h.he} felt [feelings_h]. So {h.he} went back to {g.name} and "
        "gave it to {g.him}. {g.name} keeps it {g.keep}.",
        "Luckily [f=met_p!h,h.friend,g] was near, [doing_fp], and helped {g.him}. Nobody knew who had won, so {f.name} got the {t.noun}, and all three laughed.",
    ],
}
